"""A user's image, opened safely and resized."""

import io

from PIL import Image, ImageOps, UnidentifiedImageError

from providers.protocols import ErrorKind, ProviderError

_MAX_PIXELS = 60_000_000


def open_image(data: bytes, target_size: int | None = None) -> Image.Image:
    """The image upright and in RGB; ProviderError (BAD_INPUT) where these bytes are not an image.

    A JPEG of which only about so many pixels a side are needed is read many times faster.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > _MAX_PIXELS:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: the image has too many pixels")
        if target_size is not None:
            image.draft("RGB", (target_size, target_size))
        return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: not an image ({type(error).__name__})") from error


def crop_to_fill(image: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of the image at exactly this size."""
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
