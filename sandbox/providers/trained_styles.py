"""What a trained offline model knows: the colours and the grain of the photos it was made from."""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.image.loading import open_image
from sandbox.providers.scenery.noise import fractal, sample

_MIN_PHOTOS, _MAX_PHOTOS = 10, 200
_MAX_UNPACKED_BYTES = 500 * 1024 * 1024
"""Bytes of all photos of a zip together, unpacked."""
_THUMBNAIL_SIZE = 64
_PALETTE_SIZE = 6
_STRENGTH = 0.72
"""How much of an image's own colours gives way to the style's."""
_SATURATION = 1.5
"""How much more colourful than the averaged colours of the photos."""
_REFERENCE = re.compile(r"^offline/[\w.-]+:([0-9a-f]+)$")

_Rgb = tuple[int, int, int]


class Style(BaseModel):
    """A palette from dark to light, the photos' mean colour, and a seed for the grain."""

    model_config = ConfigDict(frozen=True)

    palette: tuple[_Rgb, ...]
    mean: _Rgb
    grain_seed: int
    photo_count: int

    def apply(self, image: Image.Image) -> Image.Image:
        """The image in the style's colours, with its grain: brightness stays, colours come from the photos."""
        own = np.asarray(image, np.float32)
        light = own @ np.array([0.299, 0.587, 0.114], np.float32) / 255
        toned = self._color_ramp()[(light * 255).astype(np.uint8)]
        mixed = own * (1 - _STRENGTH) + toned * _STRENGTH
        tile = fractal(np.random.default_rng(self.grain_seed), 1.2, 256)
        rows = np.arange(image.height, dtype=np.float32)[:, None] / 300
        columns = np.arange(image.width, dtype=np.float32)[None, :] / 300
        mixed *= 1 + 0.05 * sample(tile, columns + rows * 0.2, rows)[..., None]
        return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))

    def _color_ramp(self) -> npt.NDArray[Any]:
        """The colour for each of 256 brightnesses: near black, the palette, near white."""
        shades = np.array(self.palette, np.float32)
        greys = shades.mean(axis=1, keepdims=True)
        shades = np.clip(greys + (shades - greys) * _SATURATION, 0, 255)
        stops = np.concatenate([shades[:1] * 0.25, shades, 255 - (255 - shades[-1:]) * 0.25])
        places = np.linspace(0, 255, len(stops))
        levels = np.arange(256)
        return np.stack([np.interp(levels, places, stops[:, part]) for part in range(3)], axis=1)


class StyleStore:
    """The folder of trained models. They stay until they are deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, model_id: str, style: Style) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._folder / f".{model_id}"
        written.write_text(style.model_dump_json(), encoding="utf-8")
        written.replace(self._folder / f"{model_id}.json")

    def find(self, model: str) -> Style | None:
        """The style of an offline model, None for any other; NOT_FOUND where it was deleted."""
        if not model.startswith("offline/"):
            return None
        found = _REFERENCE.match(model)
        path = self._folder / f"{found[1]}.json" if found else None
        if path is None or not path.is_file():
            raise ProviderError(ErrorKind.NOT_FOUND, "offline: no such trained model")
        try:
            return Style.model_validate_json(path.read_bytes())
        except ValidationError:
            raise ProviderError(ErrorKind.FAILED, "offline: a damaged model file") from None

    def delete(self, model: str) -> None:
        """Delete a trained model; one that does not exist any more is no error."""
        if found := _REFERENCE.match(model):
            (self._folder / f"{found[1]}.json").unlink(missing_ok=True)


def learn_style(archive: bytes) -> Style:
    """The style of the photos in a zip. ProviderError (BAD_INPUT) for fewer than 10 that can be opened."""
    thumbnails = [
        np.asarray(photo.resize((_THUMBNAIL_SIZE, _THUMBNAIL_SIZE), Image.Resampling.BOX))
        for photo in _read_photos(archive)
    ]
    if len(thumbnails) < _MIN_PHOTOS:
        raise ProviderError(
            ErrorKind.BAD_INPUT,
            f"offline: {len(thumbnails)} images in the zip, at least {_MIN_PHOTOS} are needed",
        )
    together = np.concatenate(thumbnails)
    few = Image.fromarray(together).quantize(_PALETTE_SIZE, Image.Quantize.MEDIANCUT).convert("RGB").getcolors()
    shades = sorted((shade for _, shade in few or []), key=lambda shade: _brightness(_to_rgb(shade)))
    red, green, blue = (round(float(part)) for part in together.mean(axis=(0, 1)))
    return Style(
        palette=tuple(_to_rgb(shade) for shade in shades),
        mean=(red, green, blue),
        grain_seed=int.from_bytes(hashlib.sha256(together.tobytes()).digest()[:4]),
        photo_count=len(thumbnails),
    )


def _read_photos(archive: bytes) -> Iterator[Image.Image]:
    """Every image in the zip; captions and other files are skipped, as trainers do."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
            if len(entries) > 2 * _MAX_PHOTOS or sum(entry.file_size for entry in entries) > _MAX_UNPACKED_BYTES:
                raise ProviderError(ErrorKind.BAD_INPUT, "offline: too much in the zip")
            for entry in sorted(entries, key=lambda entry: entry.filename):
                if (photo := _open_photo(packed.read(entry))) is not None:
                    yield photo
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: not a zip ({type(error).__name__})") from error


def _open_photo(data: bytes) -> Image.Image | None:
    try:
        return open_image(data, target_size=4 * _THUMBNAIL_SIZE)
    except ProviderError:
        return None


def _to_rgb(given: Any) -> _Rgb:
    red, green, blue = given
    return int(red), int(green), int(blue)


def _brightness(shade: _Rgb) -> float:
    return 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2]
