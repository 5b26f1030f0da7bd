"""OfflineVision: what can be said of a picture without a model that knows things.

Shape, light, contrast, sharpness, colours and large patches are measured and told as they are. Words in
the picture are not read, and things are not recognised: no model small enough for the sandbox does that.
"""

import asyncio

import numpy as np
from PIL import Image

from providers.offline.color_names import name_of
from providers.offline.image.loading import opened
from providers.offline.scenery.noise import Array
from providers.offline.shapes import Shape, shapes_in

SIDE = 48
COLOURS = 6
MOST_SHAPES = 3


class OfflineVision:
    """VisionProvider by measuring."""

    name = "offline"
    offline = True

    async def describe(self, image: bytes) -> str:
        """An English prompt; ProviderError (BAD_INPUT) where these bytes are no picture."""
        return await asyncio.to_thread(describe, image)

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""


def describe(data: bytes) -> str:
    """What the picture looks like, as a prompt in English."""
    image = opened(data, about=512)
    image.thumbnail((512, 512))
    grey = np.asarray(image.convert("L"), np.float32)
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX).quantize(COLOURS, Image.Quantize.MEDIANCUT)
    names, shares, labels = _colours(small)
    parts = [
        f"{_light(grey)}, {_contrast(grey)} {_orientation(image)} picture",
        f"in {_listed(names, shares)}",
        _texture(grey),
        *_composition(shapes_in(labels), names, labels, image.width / image.height),
    ]
    return ", ".join(parts)


def _orientation(image: Image.Image) -> str:
    shape = image.width / image.height
    if 0.92 < shape < 1.09:
        return "square"
    if shape > 1:
        return "panoramic landscape-format" if shape > 1.9 else "landscape-format"
    return "very tall portrait-format" if shape < 0.53 else "portrait-format"


def _light(grey: Array) -> str:
    mean = float(grey.mean())
    for limit, word in ((45, "A very dark"), (95, "A dark"), (160, "An evenly lit"), (210, "A bright")):
        if mean < limit:
            return word
    return "A very bright"


def _contrast(grey: Array) -> str:
    spread = float(np.percentile(grey, 95) - np.percentile(grey, 5))
    if spread < 70:
        return "low-contrast"
    return "high-contrast" if spread > 190 else "medium-contrast"


def _texture(grey: Array) -> str:
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


def _colours(small: Image.Image) -> tuple[list[str], dict[str, float], Array]:
    """A name for each colour of the palette, how much of the picture each name covers, and each pixel's name.

    Colours that share a name are one colour here.
    """
    palette = np.array(small.getpalette(), np.float32).reshape(-1, 3)
    indexes = np.asarray(small)
    given = [name_of((float(red), float(green), float(blue))) for red, green, blue in palette]
    names = list(dict.fromkeys(given))
    labels = np.array([names.index(name) for name in given])[indexes]
    shares = {name: float((labels == number).mean()) for number, name in enumerate(names)}
    return names, shares, labels


def _listed(names: list[str], shares: dict[str, float]) -> str:
    most = sorted((name for name in names if shares[name] > 0.03), key=lambda name: -shares[name])[:4]
    if not most:
        most = [max(shares, key=lambda name: shares[name])]
    told = [f"{name} (mostly)" if shares[name] > 0.5 and len(most) > 1 else name for name in most]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def _composition(shapes: list[Shape], names: list[str], labels: Array, aspect: float) -> list[str]:
    told = []
    for shape in shapes[:MOST_SHAPES]:
        name, form = names[shape.colour], shape.form(aspect)
        if form == "background":
            told.append(f"a {name} background")
        elif shape.area < 0.97:
            size = "large " if shape.area > 0.25 else ""
            told.append(f"a {size}{name} {form} {shape.where}")
    if len(told) < 2 and _symmetric(labels):
        told.append("symmetric composition")
    return told


def _symmetric(labels: Array) -> bool:
    return bool((labels == labels[:, ::-1]).mean() > 0.9)
