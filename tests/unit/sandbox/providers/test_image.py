"""The procedural images: real, deterministic, and different where they should be."""

import io

import numpy as np
import pytest
from PIL import Image

from sandbox.providers.image.landscape import IMAGE_SIZES, encode_png, render_landscape
from sandbox.providers.scenery.theme import SUBJECTS, Theme, parse_theme

SMALL = (160, 120)


def theme(prompt: str, seed: int = 1) -> Theme:
    return parse_theme(prompt, np.random.default_rng(1), np.random.default_rng(seed))


def pixels(prompt: str, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.asarray(render_landscape(prompt, seed, *SMALL)).astype(np.int16)


@pytest.mark.parametrize("aspect", ["1:1", "21:9", "9:21"])
def test_render_landscape_is_a_png_with_the_requested_aspect(aspect: str) -> None:
    image = Image.open(io.BytesIO(encode_png(render_landscape("море на закате", 5, *IMAGE_SIZES[aspect]))))
    image.load()
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", IMAGE_SIZES[aspect])
    width_ratio, height_ratio = (int(part) for part in aspect.split(":"))
    assert abs(image.width / image.height / (width_ratio / height_ratio) - 1) < 0.04


@pytest.mark.parametrize("subject", list(SUBJECTS))
@pytest.mark.parametrize("aspect", ["1:1", "21:9", "9:21"])
def test_render_landscape_of_every_subject_in_every_aspect_has_contrast(subject: str, aspect: str) -> None:
    width, height = (side // 6 for side in IMAGE_SIZES[aspect])
    prompt = f"{subject} with a castle, a boat, a cabin, birds, balloons, stars, an aurora, rain and a snowfall"
    image_pixels = np.asarray(render_landscape(prompt, 3, width, height))
    assert image_pixels.shape == (height, width, 3)
    assert image_pixels.std() > 8


@pytest.mark.parametrize("aspect", list(IMAGE_SIZES))
def test_image_sizes_are_multiples_of_64_near_one_megapixel(aspect: str) -> None:
    width, height = IMAGE_SIZES[aspect]
    assert width % 64 == height % 64 == 0
    assert 0.9 < width * height / 1e6 < 1.1


def test_render_landscape_is_the_same_only_for_the_same_prompt_and_seed() -> None:
    assert np.array_equal(pixels("a lake", 1), pixels("a lake", 1))
    assert np.array_equal(pixels("a lake", 1), pixels("  A  Lake ", 1))
    for other in (pixels("a lake", 2), pixels("a desert", 1), pixels("a lake at night", 1)):
        assert np.abs(other - pixels("a lake", 1)).mean() > 4


def test_render_landscape_with_huge_and_negative_seeds_works() -> None:
    for seed in (-1, 2**63, 0):
        assert pixels("a lake", seed).shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("prompt", "subject", "hour"),
    [
        ("a stormy sea at sunset", "sea", "sunset"),
        ("море на закате", "sea", "sunset"),
        ("зимний лес ночью", "winter", "night"),
        ("Ночной город под дождём", "city", "night"),
        ("туманный лес", "forest", "fog"),
        ("пустыня на рассвете", "desert", "dawn"),
        ("горы", "mountains", None),
        ("город", "city", None),
        ("космос", "space", "night"),
        ("a field of flowers on a sunny day", "meadow", "day"),
    ],
)
def test_parse_theme_chooses_subject_and_hour_from_the_prompt(prompt: str, subject: str, hour: str | None) -> None:
    found = theme(prompt)
    assert found.subject == subject
    assert hour in {None, found.hour}


def test_parse_theme_adds_extras_and_a_tint_from_the_prompt() -> None:
    found = theme("синее северное сияние и звёзды над домиком")
    assert found.extras >= {"aurora", "stars", "cabin"}
    assert found.tint == pytest.approx(0.6)
    assert theme("a quiet lake").tint is None


def test_render_landscape_at_night_is_darker_than_by_day() -> None:
    assert pixels("mountains at night", 1).mean() + 40 < pixels("mountains on a sunny day", 1).mean()
