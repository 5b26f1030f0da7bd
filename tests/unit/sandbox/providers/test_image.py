"""The procedural pictures: real, deterministic, and different where they should be."""

import io

import numpy as np
import pytest
from PIL import Image

from providers.offline.image.landscape import IMAGE_SIZES, paint, render_landscape
from providers.offline.scenery.theme import SUBJECTS, Theme, parse_theme

SMALL = (160, 120)


def theme(prompt: str, seed: int = 1) -> Theme:
    return parse_theme(prompt, np.random.default_rng(1), np.random.default_rng(seed))


def pixels(prompt: str, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.asarray(render_landscape(prompt, seed, *SMALL)).astype(np.int16)


@pytest.mark.parametrize("aspect", ["1:1", "21:9", "9:21"])
def test_a_png_of_the_asked_shape(aspect: str) -> None:
    image = Image.open(io.BytesIO(paint("море на закате", 5, aspect)))
    image.load()
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", IMAGE_SIZES[aspect])
    wide, high = (int(part) for part in aspect.split(":"))
    assert abs(image.width / image.height / (wide / high) - 1) < 0.04


@pytest.mark.parametrize("subject", list(SUBJECTS))
@pytest.mark.parametrize("aspect", ["1:1", "21:9", "9:21"])
def test_every_subject_at_every_shape(subject: str, aspect: str) -> None:
    width, height = (side // 6 for side in IMAGE_SIZES[aspect])
    words = f"{subject} with a castle, a boat, a cabin, birds, balloons, stars, an aurora, rain and a snowfall"
    shades = np.asarray(render_landscape(words, 3, width, height))
    assert shades.shape == (height, width, 3)
    assert shades.std() > 8


@pytest.mark.parametrize("aspect", list(IMAGE_SIZES))
def test_sizes_that_models_make(aspect: str) -> None:
    width, height = IMAGE_SIZES[aspect]
    assert width % 64 == height % 64 == 0
    assert 0.9 < width * height / 1e6 < 1.1


def test_the_same_again_and_something_else_otherwise() -> None:
    assert np.array_equal(pixels("a lake", 1), pixels("a lake", 1))
    assert np.array_equal(pixels("a lake", 1), pixels("  A  Lake ", 1))
    for other in (pixels("a lake", 2), pixels("a desert", 1), pixels("a lake at night", 1)):
        assert np.abs(other - pixels("a lake", 1)).mean() > 4


def test_huge_and_negative_seeds() -> None:
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
def test_words_choose_the_scene(prompt: str, subject: str, hour: str | None) -> None:
    found = theme(prompt)
    assert found.subject == subject
    assert hour in {None, found.hour}


def test_words_add_things_and_colours() -> None:
    found = theme("синее северное сияние и звёзды над домиком")
    assert found.extras >= {"aurora", "stars", "cabin"}
    assert found.tint == pytest.approx(0.6)
    assert theme("a quiet lake").tint is None


def test_a_night_is_darker_than_a_day() -> None:
    assert pixels("mountains at night", 1).mean() + 40 < pixels("mountains on a sunny day", 1).mean()
