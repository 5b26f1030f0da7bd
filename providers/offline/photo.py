"""A person's picture, opened safely and brought to a size."""

import io

from PIL import Image, ImageOps, UnidentifiedImageError

from providers.protocols import ErrorKind, ProviderError

MOST_PIXELS = 60_000_000


def opened(data: bytes) -> Image.Image:
    """The picture upright and in RGB; ProviderError (BAD_INPUT) where these bytes are none."""
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MOST_PIXELS:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: the picture has too many pixels")
        return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: not a picture ({type(error).__name__})") from error


def filling(image: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of the picture at exactly this size."""
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
