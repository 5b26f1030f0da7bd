"""OfflineVision describes what an image shows, and nothing else."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.language import OfflineVision, describe_image


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


async def test_describe_a_red_ball_on_blue_names_both() -> None:
    image = Image.new("RGB", (400, 600), (30, 60, 200))
    ImageDraw.Draw(image).ellipse((100, 200, 300, 400), fill=(220, 20, 20))
    description = await OfflineVision().describe(png(image))
    for part in ("portrait", "blue and red", "blue in the top", "red in the centre", "blue in the bottom"):
        assert part in description
    assert "landscape" not in description


def test_describe_land_under_a_sky_names_what_is_where() -> None:
    image = Image.new("RGB", (900, 400), (120, 180, 240))
    ImageDraw.Draw(image).rectangle((0, 200, 900, 400), fill=(40, 140, 50))
    description = describe_image(png(image))
    for part in ("panoramic", "light blue in the top", "green in the bottom", "smooth"):
        assert part in description


def test_describe_names_light_contrast_and_texture() -> None:
    noise = np.random.default_rng(1).integers(0, 60, (300, 300, 3)).astype(np.uint8)
    description = describe_image(png(Image.fromarray(noise)))
    assert description.startswith("Very dark, low-contrast square")
    assert "rich texture" in description
    halves = np.zeros((300, 300, 3), np.uint8)
    halves[:, 150:] = 255
    assert "high-contrast" in describe_image(png(Image.fromarray(halves)))


@pytest.mark.parametrize(
    ("shade", "name"),
    [
        ((255, 0, 0), "red"),
        ((0, 0, 90), "dark blue"),
        ((255, 150, 20), "orange"),
        ((255, 240, 20), "yellow"),
        ((0, 80, 10), "dark green"),
        ((255, 172, 193), "pink"),
        ((120, 70, 30), "brown"),
        ((128, 128, 128), "grey"),
        ((245, 230, 205), "beige"),
        ((5, 5, 5), "black"),
        ((255, 255, 255), "white"),
    ],
)
def test_describe_of_one_colour_names_only_it(shade: tuple[int, int, int], name: str) -> None:
    assert f"picture in {name}, {name} in the top" in describe_image(png(Image.new("RGB", (64, 64), shade)))


async def test_describe_of_a_file_that_is_not_an_image_raises() -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineVision().describe(b"text renamed .jpg")
    assert caught.value.kind is ErrorKind.BAD_INPUT
