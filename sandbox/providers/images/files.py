"""Image files, and how large images and videos are."""

import io
import math
from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from providers.protocols import ErrorKind, ProviderError

_SHAPES = ("1:1", "16:9", "9:16", "21:9", "9:21", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4")


def _size(shape: str, pixels: int, step: int) -> tuple[int, int]:
    width, height = map(int, shape.split(":"))
    side = math.sqrt(pixels / (width * height)) / step
    return round(width * side) * step, round(height * side) * step


IMAGE_SIZES = {shape: _size(shape, 1024 * 1024, 64) for shape in _SHAPES}
VIDEO_SIZES = {shape: _size(shape, 1280 * 720, 4) for shape in _SHAPES}
"""Width and height in pixels: about a megapixel; those of images in steps of 64, as FLUX makes them."""


def open_image(data: bytes, target_size: int | None = None) -> Image.Image:
    """The image upright and in RGB; ProviderError (BAD_INPUT) where these bytes are not an image.

    A JPEG of which only about `target_size` pixels a side are needed is read many times faster.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if target_size is not None:
            image.draft("RGB", (target_size, target_size))
        return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: not an image ({type(error).__name__})") from error


def encode_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def add_watermark(image: Image.Image) -> Image.Image:
    """Mark the corner of an image (RGB, or brightness alone), in place: no model made this."""
    size = max(12, min(image.size) // 56)
    place = (image.width - size // 2, image.height - size // 3)
    light, dark = ("white", "black") if image.mode == "RGB" else (225, 40)
    font = _font(size)
    ImageDraw.Draw(image).text(place, "offline", light, font, "rs", stroke_width=1, stroke_fill=dark)
    return image
