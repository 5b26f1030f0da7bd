"""OfflineVision tells what is there, and nothing that is not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from providers.offline.color_names import color_name
from providers.offline.vision import OfflineVision, describe_image
from providers.protocols import ErrorKind, ProviderError


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


async def test_a_red_ball_on_blue() -> None:
    image = Image.new("RGB", (400, 600), (30, 60, 200))
    ImageDraw.Draw(image).ellipse((100, 200, 300, 400), fill=(220, 20, 20))
    said = await OfflineVision().describe(png(image))
    for part in (
        "portrait-format",
        "blue (mostly) and red",
        "a blue background",
        "a red round shape in the centre",
    ):
        assert part in said
    assert "landscape" not in said


def test_land_under_a_sky() -> None:
    image = Image.new("RGB", (900, 400), (120, 180, 240))
    ImageDraw.Draw(image).rectangle((0, 260, 900, 400), fill=(40, 140, 50))
    said = describe_image(png(image))
    for part in ("panoramic", "blue horizontal band at the top", "green horizontal band at the bottom", "smooth"):
        assert part in said


def test_a_box_in_a_corner() -> None:
    image = Image.new("RGB", (500, 500), (250, 250, 250))
    ImageDraw.Draw(image).rectangle((300, 300, 470, 470), fill=(20, 20, 20))
    said = describe_image(png(image))
    assert "square" in said
    assert "a black rectangular shape at the bottom on the right" in said
    assert "very bright" in said.lower()


def test_light_contrast_and_texture() -> None:
    noise = np.random.default_rng(1).integers(0, 60, (300, 300, 3)).astype(np.uint8)
    said = describe_image(png(Image.fromarray(noise)))
    assert said.startswith(("A very dark, low-contrast square", "A very dark, low-contrast"))
    assert "rich fine texture" in said
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
def test_names_of_colours(shade: tuple[float, float, float], name: str) -> None:
    assert color_name(shade) == name


async def test_what_is_no_picture() -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineVision().describe(b"text renamed .jpg")
    assert caught.value.kind is ErrorKind.BAD_INPUT
