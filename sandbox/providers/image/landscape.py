"""Procedural landscapes: the offline stand-in for a model that paints."""

import hashlib
import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sandbox.providers.scenery.canvas import Canvas
from sandbox.providers.scenery.noise import fractal
from sandbox.providers.scenery.scenes import paint_scene
from sandbox.providers.scenery.theme import parse_theme

IMAGE_SIZES = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "9:16": (768, 1344),
    "21:9": (1536, 640),
    "9:21": (640, 1536),
    "4:3": (1152, 896),
    "3:4": (896, 1152),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
}
"""Width and height in pixels: about a megapixel, in steps of 64, as FLUX makes them."""
_WATERMARK = "offline"


def render_landscape(prompt: str, seed: int, width: int, height: int, *, watermark: bool = True) -> Image.Image:
    """A landscape that follows from the prompt, the seed and the size alone; at least 64 by 64 pixels."""
    words = " ".join(prompt.lower().split())
    number = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8])
    by_prompt = np.random.default_rng(number)
    by_seed = np.random.default_rng([number, seed & 0xFFFFFFFFFFFF])
    canvas = Canvas(width, height, by_seed, fractal(by_seed))
    paint_scene(canvas, parse_theme(words, by_prompt, by_seed))
    image = Image.fromarray((np.clip(canvas.rgb, 0, 1) * 255 + 0.5).astype(np.uint8))
    if watermark:
        add_watermark(image)
    return image


def encode_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def add_watermark(image: Image.Image) -> None:
    """Mark the corner of an image (RGB, or brightness alone): no model made this."""
    size = max(12, min(image.size) // 56)
    font = _font(size)
    x, y = image.width - size // 2 - 2, image.height - size // 3
    if image.mode == "RGB":
        pen = ImageDraw.Draw(image, "RGBA")
        pen.text((x + 1, y + 1), _WATERMARK, (0, 0, 0, 110), font, anchor="rs")
        pen.text((x, y), _WATERMARK, (255, 255, 255, 150), font, anchor="rs")
        return
    pen = ImageDraw.Draw(image)
    pen.text((x + 1, y + 1), _WATERMARK, 60, font, anchor="rs")
    pen.text((x, y), _WATERMARK, 205, font, anchor="rs")
