"""OfflineVision: what can be said of a picture without a model that knows things.

Shape, light, contrast, sharpness, colours and large patches are measured and told as they are. Words in
the picture are not read, and things are not recognised: no model small enough for the sandbox does that.
"""

import asyncio

import numpy as np
from PIL import Image

from providers.offline.color_names import color_name
from providers.offline.image.loading import open_image
from providers.offline.scenery.noise import Array
from providers.offline.shapes import Shape, find_shapes

ANALYSIS_SIZE = 48
PALETTE_SIZE = 6
MAX_SHAPES = 3


class OfflineVision:
    """VisionProvider by measuring."""

    name = "offline"
    offline = True

    async def describe(self, image: bytes) -> str:
        """An English prompt; ProviderError (BAD_INPUT) where these bytes are no picture."""
        return await asyncio.to_thread(describe_image, image)

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""


def describe_image(data: bytes) -> str:
    """What the picture looks like, as a prompt in English."""
    image = open_image(data, target_size=512)
    image.thumbnail((512, 512))
    grey = np.asarray(image.convert("L"), np.float32)
    small = image.resize((ANALYSIS_SIZE, ANALYSIS_SIZE), Image.Resampling.BOX).quantize(
        PALETTE_SIZE, Image.Quantize.MEDIANCUT
    )
    names, shares, labels = _named_colors(small)
    parts = [
        f"{_describe_brightness(grey)}, {_describe_contrast(grey)} {_describe_orientation(image)} picture",
        f"in {_list_colors(names, shares)}",
        _describe_texture(grey),
        *_describe_composition(find_shapes(labels), names, labels, image.width / image.height),
    ]
    return ", ".join(parts)


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
    """A name for each colour of the palette, how much of the picture each name covers, and each pixel's name.

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
    told = [f"{name} (mostly)" if shares[name] > 0.5 and len(most) > 1 else name for name in most]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def _describe_composition(shapes: list[Shape], names: list[str], labels: Array, aspect: float) -> list[str]:
    told = []
    for shape in shapes[:MAX_SHAPES]:
        name, form = names[shape.colour], shape.describe_form(aspect)
        if form == "background":
            told.append(f"a {name} background")
        elif shape.area < 0.97:
            size = "large " if shape.area > 0.25 else ""
            told.append(f"a {size}{name} {form} {shape.position}")
    if len(told) < 2 and _is_symmetric(labels):
        told.append("symmetric composition")
    return told


def _is_symmetric(labels: Array) -> bool:
    return bool((labels == labels[:, ::-1]).mean() > 0.9)
