"""Offline videos: a camera that pans and zooms over an image, or from one image into another."""

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

from sandbox.providers.image.landscape import add_watermark, render_landscape
from sandbox.providers.image.loading import crop_to_fill, open_image
from sandbox.providers.scenery.noise import Array, fractal, smoothstep
from sandbox.providers.video.encoding import FPS, Planes, encode_mp4, to_planes

VIDEO_SIZES = {
    "16:9": (1280, 720),
    "9:16": (720, 1280),
    "1:1": (960, 960),
    "4:3": (960, 720),
    "3:4": (720, 960),
    "21:9": (1344, 576),
    "9:21": (576, 1344),
}
_CAMERA_MARGIN = 1.22
"""How much larger than the frame the image is, for the camera to move in."""
MAX_VIDEO_SECONDS = 10.0
"""Seconds."""

_Box = tuple[float, float, float, float]


def render_video(
    prompt: str,
    seed: int,
    *,
    aspect: str = "16:9",
    seconds: float = 5.0,
    start: bytes | None = None,
    end: bytes | None = None,
) -> bytes:
    """An MP4 of up to 10 seconds that follows from its arguments alone.

    It starts from the image `start` (a landscape of the prompt where there is none) and melts into
    `end` where that is given. A `start` that is not an image raises ProviderError (BAD_INPUT).
    """
    width, height = VIDEO_SIZES[aspect]
    large = (round(width * _CAMERA_MARGIN / 4) * 4, round(height * _CAMERA_MARGIN / 4) * 4)
    first = to_planes(
        crop_to_fill(open_image(start), *large)
        if start
        else render_landscape(prompt, seed, *large, watermark=False)
    )
    last = to_planes(crop_to_fill(open_image(end), *large)) if end else None
    rng = np.random.default_rng(seed & 0xFFFFFFFF)
    count = max(1, round(min(seconds, MAX_VIDEO_SECONDS) * FPS))
    views = _camera_path(rng, large, (width, height), count)
    return encode_mp4(_render_frames(first, last, views, (width, height), rng), width, height)


def _camera_path(
    rng: np.random.Generator, large: tuple[int, int], frame: tuple[int, int], count: int
) -> list[_Box]:
    """What the camera sees in each frame: a slow, eased move and zoom."""
    turn, inward = float(rng.uniform(0, 2 * math.pi)), bool(rng.random() < 0.6)
    views = []
    for number in range(count):
        part = number / max(1, count - 1)
        eased = part * part * (3 - 2 * part) * 0.6 + part * 0.4
        zoom = eased if inward else 1 - eased
        wide, high = (frame[side] * (1.12 - 0.16 * zoom) for side in (0, 1))
        room = (large[0] - wide) / 2, (large[1] - high) / 2
        left = room[0] * (1 + 0.9 * math.cos(turn) * (2 * eased - 1))
        top = room[1] * (1 + 0.9 * math.sin(turn) * (2 * eased - 1))
        views.append((left, top, left + wide, top + high))
    return views


def _render_frames(
    first: Planes, last: Planes | None, views: list[_Box], size: tuple[int, int], rng: np.random.Generator
) -> Iterator[Planes]:
    melt = fractal(rng, 2.0, 256)[:144, :256]
    for number, view in enumerate(views):
        frame = _crop(first, view, size)
        if last is not None:
            part = number / max(1, len(views) - 1)
            frame = _dissolve(frame, _crop(last, view, size), melt, part)
        add_watermark(frame[0])
        yield frame


def _crop(image: Planes, view: _Box, size: tuple[int, int]) -> Planes:
    bright, blue, red = image
    half_size = (size[0] // 2, size[1] // 2)
    half_view = (view[0] / 2, view[1] / 2, view[2] / 2, view[3] / 2)
    scale = Image.Resampling.BILINEAR
    return (
        bright.resize(size, scale, view),
        blue.resize(half_size, scale, half_view),
        red.resize(half_size, scale, half_view),
    )


def _dissolve(one: Planes, other: Planes, melt: Array, part: float) -> Planes:
    """`other` shows through in soft spots that grow until they are all of the frame."""
    level = 6.0 * (part - 0.5) / 0.76
    spots = np.ascontiguousarray(smoothstep(-0.9, 0.9, level - melt).astype(np.float32) * 255)
    masks = [_resize_mask(spots, plane.size) for plane in one[:2]]
    return (
        Image.composite(other[0], one[0], masks[0]),
        Image.composite(other[1], one[1], masks[1]),
        Image.composite(other[2], one[2], masks[1]),
    )


def _resize_mask(spots: Array, size: tuple[int, int]) -> Image.Image:
    small = Image.fromarray(spots.astype(np.uint8))
    return small.resize(size, Image.Resampling.BILINEAR)
