"""What makes the offline provider's media, from the inputs of Replicate's models. Everything runs in a thread."""

import io
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.base import Folder, StoredPrediction
from sandbox.providers.images.files import IMAGE_SIZES, VIDEO_SIZES, add_watermark, encode_png, open_image
from sandbox.providers.images.landscape import paint
from sandbox.providers.sound import decode_audio
from sandbox.providers.video import animate_face, decode_face, render_video

_SEED_STRIDE = 7919
"""Between the seeds of one order's images, so that the next order's seed repeats none of them."""
_FIRST = ("start_image", "first_frame_image", "first_frame", "input_image", "image")
_LAST = ("end_image", "last_frame_image", "last_frame", "last_image")
_STRENGTH, _SATURATION = 0.72, 1.5
"""How much of an image's own colours gives way to the photos', and how much more colourful those are made."""
_Files = Mapping[str, bytes]
_Size = tuple[int, int]


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


class _ImageInput(BaseModel):
    """Input files are ignored. `finetune_id` is a trained model, as FLUX's own fine-tunes name it."""

    prompt: str = Field(pattern=r"\S")
    size: Annotated[_Size, BeforeValidator(IMAGE_SIZES.get)] = Field(IMAGE_SIZES["1:1"], alias="aspect_ratio")
    num_outputs: int = Field(1, ge=1, le=4, strict=True)
    finetune_id: str = ""


class _VideoInput(BaseModel):
    """Without an aspect ratio a video has the shape nearest to that of the image it starts from."""

    prompt: str = ""
    seconds: float = Field(5.0, gt=0, validation_alias=AliasChoices("duration", "seconds"))
    size: Annotated[_Size, BeforeValidator(VIDEO_SIZES.get)] | None = Field(None, alias="aspect_ratio")


class _TrainingInput(BaseModel):
    trigger_word: str = Field(pattern=r"[\w.-]")
    steps: int = Field(1000, ge=1, strict=True, validation_alias=AliasChoices("steps", "training_steps"))


def prepare(record: StoredPrediction, files: _Files, styles: Folder) -> None:
    """Store the model of a training; of anything else, raise ProviderError where a real model would refuse it, too."""
    try:
        if record.kind == "image":
            _find_style(_ImageInput.model_validate(record.input), record, styles)
        elif record.kind == "video":
            _video_arguments(record, files)
        elif record.kind == "lip_sync":
            face, sound = _face_and_sound(files)
            decode_face(face, most=1)
            decode_audio(sound, 8000, max_seconds=1.0)
        else:
            _TrainingInput.model_validate(record.input)
            (photos,) = files.values()
            styles.save(record.id, learn_style(photos))
    except ValueError as error:  # pydantic's errors are ValueErrors, too
        details = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: {details}") from None


def outputs(record: StoredPrediction) -> tuple[str, ...]:
    """The references of a prediction that succeeded. That of a training is the name of its model."""
    if record.kind == "training":
        trigger_word = re.sub(r"[^\w.-]", "", str(record.input["trigger_word"]).lower())
        return (f"offline/{trigger_word}:{record.id}",)
    return tuple(f"offline:{record.id}/{number}" for number in range(record.input.get("num_outputs", 1)))


def render(record: StoredPrediction, files: _Files, number: int, styles: Folder) -> bytes:
    """The bytes of an output. They follow from the arguments alone."""
    if record.kind == "image":
        given = _ImageInput.model_validate(record.input)
        image = paint(given.prompt, record.seed + _SEED_STRIDE * number, *given.size)
        style = _find_style(given, record, styles)
        return encode_png(add_watermark(style.apply(image) if style else image))
    if record.kind == "video":
        return render_video(seed=record.seed, **_video_arguments(record, files))
    return animate_face(*_face_and_sound(files))


def _find_style(given: _ImageInput, record: StoredPrediction, styles: Folder) -> Style | None:
    """The style of a model that was trained here, None for any other; NOT_FOUND where it was deleted."""
    model = given.finetune_id or record.model
    return styles.load(Style, model.rpartition(":")[2]) if model.startswith("offline/") else None


def _video_arguments(record: StoredPrediction, files: _Files) -> dict[str, Any]:
    given = _VideoInput.model_validate(record.input)
    start, end = ([open_image(files[key]) for key in keys if key in files] for keys in (_FIRST, _LAST))
    if not start and (end or not given.prompt.strip()):
        raise ValueError("no image to start from")
    shape = start[0].width / start[0].height if start else 16 / 9
    size = given.size or min(VIDEO_SIZES.values(), key=lambda size: abs(size[0] / size[1] - shape))
    return {"prompt": given.prompt, "size": size, "seconds": given.seconds, "images": start[:1] + end[:1]}


def _face_and_sound(files: _Files) -> tuple[bytes, bytes]:
    """The file whose input's name contains `audio` is the sound, the other one the face."""
    (sound,) = (data for name, data in files.items() if "audio" in name)
    (face,) = (data for name, data in files.items() if "audio" not in name)
    return face, sound


def learn_style(archive: bytes) -> Style:
    """The style of the photos in a zip; ProviderError (BAD_INPUT) for fewer than 10 that can be opened."""
    thumbnails = []
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            for name in sorted(packed.namelist()):
                with suppress(ProviderError):  # captions and other files are skipped, as trainers do
                    photo = open_image(packed.read(name), target_size=256)
                    thumbnails.append(np.asarray(photo.resize((64, 64), Image.Resampling.BOX)))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: not a zip ({type(error).__name__})") from error
    if len(thumbnails) < 10:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: {len(thumbnails)} images, 10 are needed")
    few = Image.fromarray(np.concatenate(thumbnails)).quantize(6, Image.Quantize.MEDIANCUT)
    return Style(palette=sorted(np.array(few.getpalette(), int).reshape(-1, 3).tolist(), key=sum))
