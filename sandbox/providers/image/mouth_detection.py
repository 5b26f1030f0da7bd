"""Where the mouth is in an image: guessed from the largest upright patch of the colour of skin."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sandbox.providers.scenery.noise import Array

_ANALYSIS_SIZE = 160
"""The width and height, in pixels, at which the image is analysed."""
_FACE_ASPECT_RATIO = 1.3
"""A face is so much taller than wide."""


@dataclass(frozen=True)
class Mouth:
    """Its middle and its width, in pixels."""

    x: float
    y: float
    width: float


def find_mouth(image: Image.Image) -> Mouth:
    """The likely mouth; where no face is seen, where one would be in a portrait."""
    small = image.copy()
    small.thumbnail((_ANALYSIS_SIZE, _ANALYSIS_SIZE))
    scale = image.width / small.width
    left, top, wide = _locate_face(_skin_mask(small))
    x, y = left + wide / 2, top + wide * _FACE_ASPECT_RATIO * 0.77
    x, y = _refine_mouth(small, x, y, wide)
    return Mouth(x * scale, y * scale, wide * 0.38 * scale)


def _refine_mouth(image: Image.Image, x: float, y: float, wide: float) -> tuple[float, float]:
    """The middle of what is redder than the skin about a guessed mouth; the guess where nothing is."""
    left, right = max(0, int(x - wide * 0.32)), min(image.width, int(x + wide * 0.32) + 1)
    top, bottom = max(0, int(y - wide * 0.28)), min(image.height, int(y + wide * 0.34) + 1)
    if right - left < 6 or bottom - top < 6:
        return x, y
    part = np.asarray(image.crop((left, top, right, bottom)), np.float32)
    redness = (part[..., 0] - part[..., 1]) / (part.sum(axis=2) + 30)
    rest = np.clip(redness - np.percentile(redness, 70) - 0.03, 0, None)
    if float(rest.sum()) < 0.002 * rest.size:
        return x, y
    rows, columns = rest.sum(axis=1), rest.sum(axis=0)
    across = float((columns * np.arange(columns.size)).sum() / columns.sum())
    down = float((rows * np.arange(rows.size)).sum() / rows.sum())
    return left + across + 0.5, top + down + 0.5


def _skin_mask(image: Image.Image) -> Array:
    """1 where the colour is that of skin, of any lightness, and 0 elsewhere."""
    bright, blue, red = (np.asarray(part, np.int16) for part in image.convert("YCbCr").split())
    skin: Array = ((bright > 40) & (blue > 77) & (blue < 128) & (red > 135) & (red < 175)).astype(np.float32)
    return skin


def _locate_face(skin: Array) -> tuple[float, float, float]:
    """Left, top and width of the upright box that is fullest of skin, against what is around it."""
    height, width = skin.shape
    sums = np.pad(skin, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    best, found = 0.22, (width / 2 - min(width, height) * 0.21, height * 0.42 - min(width, height) * 0.27, 0.0)
    found = (found[0], found[1], min(width, height) * 0.42)
    for part in (0.22, 0.28, 0.35, 0.43, 0.52, 0.62):
        wide = int(min(width, height / _FACE_ASPECT_RATIO) * part)
        high, edge = int(wide * _FACE_ASPECT_RATIO), max(2, wide // 4)
        inside = _box_sums(sums, wide, high)
        around = _box_sums(sums, wide + 2 * edge, high + edge)
        if min(*inside.shape, *around.shape) < 1:
            continue
        rows, columns = around.shape
        core = inside[edge : edge + rows, edge : edge + columns]
        ring = (around - core) / ((wide + 2 * edge) * (high + edge) - wide * high)
        score = (core / (wide * high) - ring[: core.shape[0], : core.shape[1]]) * (0.75 + 0.5 * part)
        place = np.unravel_index(int(score.argmax()), score.shape)
        if score[place] > best:
            best = float(score[place])
            found = (float(place[1] + edge), float(place[0] + edge), float(wide))
    return found


def _box_sums(sums: Array, wide: int, high: int) -> Array:
    """The sum of every box of this size, by its upper left corner."""
    boxes: Array = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    return boxes
