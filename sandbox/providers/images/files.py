"""Image files, and how large images and videos are."""

import io
import math
from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from providers.protocols import ErrorKind, ProviderError

_FONT = cache(ImageFont.load_default)
_SHAPES = ("1:1", "16:9", "9:16", "21:9", "9:21", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4")


def _size(shape: str, pixels: int, step: int) -> tuple[int, int]:
    width, height = map(int, shape.split(":"))
    side = math.sqrt(pixels / (width * height)) / step
    return round(width * side) * step, round(height * side) * step


IMAGE_SIZES = {shape: _size(shape, 1024 * 1024, 64) for shape in _SHAPES}
VIDEO_SIZES = {shape: _size(shape, 1280 * 720, 4) for shape in _SHAPES}
"""Width and height in pixels: about a megapixel; those of images in steps of 64, as FLUX makes them."""


def open_image(data: bytes, target_size: int = 4096) -> Image.Image:
    """The image upright and in RGB, a JPEG at about `target_size` pixels a side; BAD_INPUT for any other bytes."""
    try:
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", (target_size, target_size))
        return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: not an image ({type(error).__name__})") from error


def encode_png(image: Image.Image) -> bytes:
    """The image as a file."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def add_watermark(image: Image.Image) -> Image.Image:
    """Mark the corner of an RGB image, in place: no model made this."""
    size = max(12, min(image.size) // 56)
    place = (image.width - size // 2, image.height - size // 3)
    ImageDraw.Draw(image).text(place, "offline", "white", _FONT(size), "rs", stroke_width=1, stroke_fill="black")
    return image
