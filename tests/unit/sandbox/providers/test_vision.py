"""OfflineVision describes what an image shows, and nothing else."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.vision import OfflineVision, color_name, describe_image


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


async def test_describe_a_red_ball_on_blue_names_both() -> None:
    image = Image.new("RGB", (400, 600), (30, 60, 200))
    ImageDraw.Draw(image).ellipse((100, 200, 300, 400), fill=(220, 20, 20))
    description = await OfflineVision().describe(png(image))
    for part in (
        "portrait-format",
        "blue (mostly) and red",
        "a blue background",
        "a red round shape in the centre",
    ):
        assert part in description
    assert "landscape" not in description


def test_describe_land_under_a_sky_names_the_bands() -> None:
    image = Image.new("RGB", (900, 400), (120, 180, 240))
    ImageDraw.Draw(image).rectangle((0, 260, 900, 400), fill=(40, 140, 50))
    description = describe_image(png(image))
    for part in ("panoramic", "blue horizontal band at the top", "green horizontal band at the bottom", "smooth"):
        assert part in description


def test_describe_a_box_in_a_corner_names_its_place() -> None:
    image = Image.new("RGB", (500, 500), (250, 250, 250))
    ImageDraw.Draw(image).rectangle((300, 300, 470, 470), fill=(20, 20, 20))
    description = describe_image(png(image))
    assert "square" in description
    assert "a black rectangular shape at the bottom on the right" in description
    assert "very bright" in description.lower()


def test_describe_names_light_contrast_and_texture() -> None:
    noise = np.random.default_rng(1).integers(0, 60, (300, 300, 3)).astype(np.uint8)
    description = describe_image(png(Image.fromarray(noise)))
    assert description.startswith(("A very dark, low-contrast square", "A very dark, low-contrast"))
    assert "rich fine texture" in description
    halves = np.zeros((300, 300, 3), np.uint8)
    halves[:, 150:] = 255
    assert "high-contrast" in describe_image(png(Image.fromarray(halves)))


@pytest.mark.parametrize(
    ("shade", "name"),
    [
        ((255, 0, 0), "red"),
        ((0, 0, 90), "dark blue"),
        ((255, 165, 0), "orange"),
        ((255, 255, 0), "yellow"),
        ((0, 128, 0), "dark green"),
        ((255, 182, 193), "pink"),
        ((120, 70, 30), "brown"),
        ((128, 128, 128), "grey"),
        ((245, 235, 215), "beige"),
        ((5, 5, 5), "black"),
        ((255, 255, 255), "white"),
    ],
)
def test_color_name_of_a_shade(shade: tuple[float, float, float], name: str) -> None:
    assert color_name(shade) == name


async def test_describe_of_a_file_that_is_not_an_image_raises() -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineVision().describe(b"text renamed .jpg")
    assert caught.value.kind is ErrorKind.BAD_INPUT
