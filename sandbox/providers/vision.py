"""OfflineVision: describes an image by what can be measured in it.

Orientation, light, contrast, sharpness, colours and large patches are measured. Text in the image is not read and
objects are not recognised: no model small enough for the sandbox does that.
"""

import asyncio
import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sandbox.providers.image.loading import open_image
from sandbox.providers.scenery.noise import Array

_ANALYSIS_SIZE = 48
_PALETTE_SIZE = 6
_MAX_SHAPES = 3
_MIN_SHAPE_AREA = 0.045
"""The least part of an image that counts as a shape."""
_HUES = (
    (15, "red"),
    (42, "orange"),
    (68, "yellow"),
    (160, "green"),
    (195, "turquoise"),
    (255, "blue"),
    (290, "purple"),
    (335, "pink"),
    (361, "red"),
)

_Color = tuple[float, float, float]
"""Red, green and blue from 0 to 255."""


class OfflineVision:
    """VisionProvider by measuring."""

    name = "offline"
    offline = True

    async def describe(self, image: bytes) -> str:
        """An English prompt; ProviderError (BAD_INPUT) where these bytes are not an image."""
        return await asyncio.to_thread(describe_image, image)

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""


def describe_image(data: bytes) -> str:
    """What the image looks like, as a prompt in English."""
    image = open_image(data, target_size=512)
    image.thumbnail((512, 512))
    grey = np.asarray(image.convert("L"), np.float32)
    small = image.resize((_ANALYSIS_SIZE, _ANALYSIS_SIZE), Image.Resampling.BOX).quantize(
        _PALETTE_SIZE, Image.Quantize.MEDIANCUT
    )
    names, shares, labels = _named_colors(small)
    parts = [
        f"{_describe_brightness(grey)}, {_describe_contrast(grey)} {_describe_orientation(image)} picture",
        f"in {_list_colors(names, shares)}",
        _describe_texture(grey),
        *_describe_composition(_find_shapes(labels), names, labels, image.width / image.height),
    ]
    return ", ".join(parts)


def color_name(shade: _Color) -> str:
    """An English name such as `dark blue`, `beige` or `light grey`."""
    hue, light, saturation = colorsys.rgb_to_hls(*(part / 255 for part in shade))
    chroma = (max(shade) - min(shade)) / 255
    if light < 0.09:
        return "black"
    if light > 0.93 and chroma < 0.12:
        return "white"
    if chroma < 0.1 or saturation < 0.09:
        return _with_tone("grey", light, low=0.35, high=0.7)
    return _chromatic_name(hue * 360, light, chroma)


def _chromatic_name(degrees: float, light: float, chroma: float) -> str:
    if 12 <= degrees < 55 and light > 0.72 and chroma < 0.4:
        return "beige"
    if 10 <= degrees < 48 and (light < 0.42 or chroma < 0.3):
        return _with_tone("brown", light, low=0.2, high=0.6)
    name = next(name for upper, name in _HUES if degrees < upper)
    if name == "red" and light > 0.68:
        return "pink"
    return _with_tone(name, light, low=0.28, high=0.72)


def _with_tone(name: str, light: float, *, low: float, high: float) -> str:
    if light < low:
        return f"dark {name}"
    return f"light {name}" if light > high else name


@dataclass(frozen=True)
class _Shape:
    """A connected patch: which colour of the palette, and how much of the image it covers (0 to 1)."""

    colour: int
    area: float
    left: float
    top: float
    right: float
    bottom: float
    """Its box, as parts of the image's sides."""

    @property
    def position(self) -> str:
        across = _by_third((self.left + self.right) / 2, "on the left", "", "on the right")
        down = _by_third((self.top + self.bottom) / 2, "at the top", "", "at the bottom")
        if not across and not down:
            return "in the centre"
        return " ".join(part for part in (down, across) if part)

    def describe_form(self, aspect: float) -> str:
        """A band, a background, or a shape by how far it fills its box; `aspect` is the image's own."""
        wide, high = self.right - self.left, self.bottom - self.top
        if wide > 0.9 and high > 0.9:
            return "background"
        if wide > 0.9 and high < 0.7:
            return "horizontal band"
        if high > 0.9 and wide < 0.45:
            return "vertical band"
        filled = self.area / max(wide * high, 1e-6)
        if filled > 0.9:
            return "rectangular shape"
        if filled > 0.7 and 0.75 < aspect * wide / max(high, 1e-6) < 1.33:
            return "round shape"
        return "triangular shape" if 0.42 < filled < 0.58 else "irregular shape"


def _find_shapes(labels: npt.NDArray[Any]) -> list[_Shape]:
    """The connected patches of equal labels, largest first."""
    height, width = labels.shape
    seen = np.zeros(labels.shape, bool)
    found = []
    for row in range(height):
        for column in range(width):
            if seen[row, column]:
                continue
            places = _flood_fill(labels, seen, row, column)
            if len(places) >= _MIN_SHAPE_AREA * labels.size:
                found.append(_build_shape(int(labels[row, column]), places, height, width))
    return sorted(found, key=lambda shape: -shape.area)


def _flood_fill(labels: npt.NDArray[Any], seen: npt.NDArray[Any], row: int, column: int) -> list[tuple[int, int]]:
    label, waiting, places = labels[row, column], [(row, column)], []
    seen[row, column] = True
    while waiting:
        y, x = waiting.pop()
        places.append((y, x))
        for down, across in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= down < labels.shape[0] and 0 <= across < labels.shape[1]
            if inside and not seen[down, across] and labels[down, across] == label:
                seen[down, across] = True
                waiting.append((down, across))
    return places


def _build_shape(colour: int, places: list[tuple[int, int]], height: int, width: int) -> _Shape:
    rows, columns = zip(*places, strict=True)
    return _Shape(
        colour,
        len(places) / (height * width),
        min(columns) / width,
        min(rows) / height,
        (max(columns) + 1) / width,
        (max(rows) + 1) / height,
    )


def _by_third(place: float, first: str, middle: str, last: str) -> str:
    if place < 0.36:
        return first
    return last if place > 0.64 else middle


def _describe_orientation(image: Image.Image) -> str:
    shape = image.width / image.height
    if 0.92 < shape < 1.09:
        return "square"
    if shape > 1:
        return "panoramic landscape-format" if shape > 1.9 else "landscape-format"
    return "very tall portrait-format" if shape < 0.53 else "portrait-format"


def _describe_brightness(grey: Array) -> str:
    mean = float(grey.mean())
    for limit, word in ((45, "A very dark"), (95, "A dark"), (160, "An evenly lit"), (210, "A bright")):
        if mean < limit:
            return word
    return "A very bright"


def _describe_contrast(grey: Array) -> str:
    spread = float(np.percentile(grey, 95) - np.percentile(grey, 5))
    if spread < 70:
        return "low-contrast"
    return "high-contrast" if spread > 190 else "medium-contrast"


def _describe_texture(grey: Array) -> str:
    """By how much neighbouring pixels differ."""
    edges = (np.abs(np.diff(grey, axis=0)) > 14).mean() + (np.abs(np.diff(grey, axis=1)) > 14).mean()
    for limit, words in (
        (0.012, "flat smooth surfaces"),
        (0.06, "soft shapes with few edges"),
        (0.2, "moderate detail"),
    ):
        if edges < limit:
            return words
    return "rich fine texture with many edges"


def _named_colors(small: Image.Image) -> tuple[list[str], dict[str, float], Array]:
    """A name for each colour of the palette, how much of the image each name covers, and each pixel's name.

    Colours that share a name are one colour here.
    """
    palette = np.array(small.getpalette(), np.float32).reshape(-1, 3)
    indexes = np.asarray(small)
    given = [color_name((float(red), float(green), float(blue))) for red, green, blue in palette]
    names = list(dict.fromkeys(given))
    labels = np.array([names.index(name) for name in given])[indexes]
    shares = {name: float((labels == number).mean()) for number, name in enumerate(names)}
    return names, shares, labels


def _list_colors(names: list[str], shares: dict[str, float]) -> str:
    most = sorted((name for name in names if shares[name] > 0.03), key=lambda name: -shares[name])[:4]
    if not most:
        most = [max(shares, key=lambda name: shares[name])]
    listed = [f"{name} (mostly)" if shares[name] > 0.5 and len(most) > 1 else name for name in most]
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def _describe_composition(shapes: list[_Shape], names: list[str], labels: Array, aspect: float) -> list[str]:
    phrases = []
    for shape in shapes[:_MAX_SHAPES]:
        name, form = names[shape.colour], shape.describe_form(aspect)
        if form == "background":
            phrases.append(f"a {name} background")
        elif shape.area < 0.97:
            size = "large " if shape.area > 0.25 else ""
            phrases.append(f"a {size}{name} {form} {shape.position}")
    if len(phrases) < 2 and _is_symmetric(labels):
        phrases.append("symmetric composition")
    return phrases


def _is_symmetric(labels: Array) -> bool:
    return bool((labels == labels[:, ::-1]).mean() > 0.9)
