"""What a trained offline model knows: the colours of the photos it was made from."""

import io
import zipfile

import numpy as np
from PIL import Image
from pydantic import BaseModel

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.images.files import open_image
from sandbox.providers.prediction_store import Folder

_MIN_PHOTOS = 10
_SIZE = 64
"""Pixels of a side: as much of each photo as is looked at."""
_PALETTE_SIZE = 6
_STRENGTH, _SATURATION = 0.72, 1.5
"""How much of an image's own colours gives way to the photos', and how much more colourful those are made."""


class Style(BaseModel):
    """The colours of photos, from dark to light: red, green and blue from 0 to 255."""

    palette: list[list[int]]

    def apply(self, image: Image.Image) -> Image.Image:
        """The image in the style's colours: brightness stays, colours come from the photos."""
        colors = np.array([[0, 0, 0], *self.palette, [255, 255, 255]], float)
        greys = colors.mean(axis=1, keepdims=True)
        colors = np.clip(greys + (colors - greys) * _SATURATION, 0, 255)
        ramp = [np.interp(np.arange(256), np.linspace(0, 255, len(colors)), part) for part in colors.T]
        toned = Image.fromarray(np.stack(ramp, 1).astype(np.uint8)[np.asarray(image.convert("L"))])
        return Image.blend(image, toned, _STRENGTH)


class StyleStore(Folder):
    """The folder of trained models, which are named `offline/<trigger>:<id>`. They stay until they are deleted."""

    def find(self, model: str) -> Style | None:
        """The style of an offline model, None for any other; ProviderError (NOT_FOUND) where it was deleted."""
        return self.load(Style, model.rpartition(":")[2]) if model.startswith("offline/") else None


def learn_style(archive: bytes) -> Style:
    """The style of the photos in a zip; ProviderError (BAD_INPUT) for fewer than 10 that can be opened."""
    thumbnails = []
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            for data in map(packed.read, sorted(packed.namelist())):
                try:
                    photo = open_image(data, target_size=4 * _SIZE)
                except ProviderError:
                    continue
                thumbnails.append(np.asarray(photo.resize((_SIZE, _SIZE), Image.Resampling.BOX)))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: not a zip ({type(error).__name__})") from error
    if len(thumbnails) < _MIN_PHOTOS:
        raise ProviderError(
            ErrorKind.BAD_INPUT, f"offline: {len(thumbnails)} images, at least {_MIN_PHOTOS} are needed"
        )
    few = Image.fromarray(np.concatenate(thumbnails)).quantize(_PALETTE_SIZE, Image.Quantize.MEDIANCUT)
    return Style(palette=sorted(np.array(few.getpalette(), int).reshape(-1, 3).tolist(), key=sum))
