"""The procedural images: real, deterministic, and showing what the prompt says."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from sandbox.providers.images.files import IMAGE_SIZES, encode_png
from sandbox.providers.images.landscape import Scene, paint
from sandbox.providers.images.theme import Theme, load_table, parse_theme

SMALL = (160, 120)
WORDS = load_table("words")


def theme(prompt: str, seed: int = 1) -> Theme:
    return parse_theme(prompt, np.random.default_rng(1), np.random.default_rng(seed))


def pixels(prompt: str, seed: int, size: tuple[int, int] = SMALL) -> npt.NDArray[Any]:
    return np.asarray(paint(prompt, seed, *size)).astype(np.int16)


@pytest.mark.parametrize("aspect", ["1:1", "21:9", "9:21"])
def test_paint_is_a_png_with_the_requested_aspect(aspect: str) -> None:
    image = Image.open(io.BytesIO(encode_png(paint("море на закате", 5, *IMAGE_SIZES[aspect]))))
    image.load()
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", IMAGE_SIZES[aspect])
    width_ratio, height_ratio = (int(part) for part in aspect.split(":"))
    assert abs(image.width / image.height / (width_ratio / height_ratio) - 1) < 0.04


@pytest.mark.parametrize("aspect", list(IMAGE_SIZES))
def test_image_sizes_are_multiples_of_64_near_one_megapixel(aspect: str) -> None:
    width, height = IMAGE_SIZES[aspect]
    assert width % 64 == height % 64 == 0
    assert 0.9 < width * height / 1e6 < 1.1


@pytest.mark.parametrize("setting", list(WORDS["settings"]))
@pytest.mark.parametrize("aspect", ["1:1", "21:9", "9:21"])
def test_paint_of_every_setting_in_every_aspect_has_contrast(setting: str, aspect: str) -> None:
    width, height = (side // 6 for side in IMAGE_SIZES[aspect])
    image_pixels = np.asarray(paint(f"a cat, {setting}, rain, snow and an aurora at night", 3, width, height))
    assert image_pixels.shape == (height, width, 3)
    assert image_pixels.std() > 8


def scene_pixels(theme: Theme, seed: int) -> npt.NDArray[Any]:
    """The image of a theme. Two themes that differ in their subjects have the same background."""
    scene = Scene(theme, np.random.default_rng(seed), 256, 256)
    scene.paint()
    return np.asarray(scene.image).astype(np.int16)


def seen_subject(theme: Theme, seed: int) -> tuple[float, npt.NDArray[Any]]:
    """How much of the image the theme's subjects cover, and the mean colour there."""
    image, empty = scene_pixels(theme, seed), scene_pixels(theme._replace(subjects=[]), seed)
    covered = np.abs(image - empty).max(axis=2) > 25
    return float(covered.mean()), image[covered].mean(axis=0)


@pytest.mark.parametrize("subject", list(WORDS["subjects"]))
@pytest.mark.parametrize("setting", ["space", "mountains", "lake"])
def test_paint_shows_every_subject_in_any_setting(subject: str, setting: str) -> None:
    found = theme(f"{subject} in the {setting} at noon")
    assert (found.setting, found.subjects) == (setting, [subject])
    for seed in range(3):
        assert 0.01 < seen_subject(found, seed)[0] < 0.6


def test_paint_is_the_same_only_for_the_same_prompt_and_seed() -> None:
    assert np.array_equal(pixels("a lake", 1), pixels("a lake", 1))
    assert np.array_equal(pixels("a lake", 1), pixels("  A  Lake ", 1))
    for other in (pixels("a lake", 2), pixels("a desert", 1), pixels("a lake at night", 1)):
        assert np.abs(other - pixels("a lake", 1)).mean() > 4


@pytest.mark.parametrize("seed", [-1, 2**63, 0])
def test_paint_with_a_huge_or_negative_seed_works(seed: int) -> None:
    assert pixels("a lake", seed).shape == (120, 160, 3)


@pytest.mark.parametrize("place", ["mountains", "a city", "a forest", "the sea"])
def test_paint_at_night_is_darker_than_by_day(place: str) -> None:
    assert pixels(f"{place} at night", 1).mean() + 40 < pixels(f"{place} on a sunny day", 1).mean()


@pytest.mark.parametrize(
    ("prompt", "channel"),
    [("a red car", 0), ("a green car", 1), ("синяя машина", 2), ("una casa verde", 1), ("un chat rouge", 0)],
)
def test_paint_gives_a_subject_the_colour_next_to_it(prompt: str, channel: int) -> None:
    found = theme(f"{prompt} at noon")
    colored, usual = (seen_subject(found._replace(color=color), 1)[1] for color in (found.color, "8d939c"))
    assert (colored - usual).argmax() == channel


@pytest.mark.parametrize(
    ("prompt", "setting", "hour"),
    [
        ("a stormy sea at sunset", "sea", "sunset"),
        ("море на закате", "sea", "sunset"),
        ("el mar al atardecer", "sea", "sunset"),
        ("la mer au coucher du soleil", "sea", "sunset"),
        ("зимний лес ночью", "forest", "night"),
        ("Ночной город под дождём", "city", "night"),
        ("туманный лес", "forest", "fog"),
        ("пустыня на рассвете", "desert", "dawn"),
        ("forêt à l'aube", "forest", "dawn"),
        ("горы", "mountains", None),
        ("montañas y un lago", "lake", None),
        ("ciudad de noche", "city", "night"),
        ("космос", "space", None),
        ("a field of flowers on a sunny day", "meadow", "day"),
        ("a boat on the sea", "sea", None),
        ("a dog by the sea", "beach", None),
    ],
)
def test_parse_theme_finds_setting_and_hour_in_every_language(prompt: str, setting: str, hour: str | None) -> None:
    found = theme(prompt)
    assert found.setting == setting
    assert hour in {None, found.hour}


@pytest.mark.parametrize(
    ("prompt", "subjects"),
    [
        ("a cat and a dog", ["cat", "dog"]),
        ("рыжий кот на диване", ["cat"]),
        ("un château", ["castle"]),
        ("una niña con un perro", ["woman", "dog"]),
        ("a lighthouse keeper's house", ["lighthouse", "house"]),
        ("category theory", []),
    ],
)
def test_parse_theme_finds_subjects_in_every_language(prompt: str, subjects: list[str]) -> None:
    assert theme(prompt).subjects == subjects


def test_parse_theme_gives_a_colour_to_the_subject_only_where_it_is_near() -> None:
    red_car, red_sofa = theme("a red car"), theme("a cat asleep on the red sofa")
    assert red_car.color is not None
    assert red_car.tint is None
    assert (red_sofa.color, red_sofa.tint) == (None, red_car.color)


def test_parse_theme_without_a_subject_shows_a_person_in_a_portrait() -> None:
    people = {theme("a portrait", seed).subjects[0] for seed in range(8)}
    assert people == {"woman", "man"}
    assert theme("a portrait of a cat").subjects == ["cat"]
