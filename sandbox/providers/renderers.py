"""What makes the offline provider's media, from the inputs of Replicate's models. Everything runs in a thread."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.audio import decode_audio
from sandbox.providers.images.files import IMAGE_SIZES, VIDEO_SIZES, add_watermark, encode_png, open_image
from sandbox.providers.images.landscape import paint
from sandbox.providers.lip_sync import animate_face, decode_face
from sandbox.providers.prediction_store import StoredPrediction
from sandbox.providers.trained_styles import StyleStore, learn_style
from sandbox.providers.video import render_video

_SEED_STRIDE = 7919
"""Between the seeds of one order's images, so that the next order's seed repeats none of them."""
_START_FRAMES = ("start_image", "first_frame_image", "first_frame", "input_image", "image")
_END_FRAMES = ("end_image", "last_frame_image", "last_frame", "last_image")
_Files = Mapping[str, bytes]
_Size = tuple[int, int]


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
    steps: int = Field(
        1000, ge=1, le=10_000, strict=True, validation_alias=AliasChoices("steps", "training_steps")
    )


def prepare(record: StoredPrediction, files: _Files, styles: StyleStore) -> None:
    """Check a prediction before it is stored, and store the model of a training, which outlives its prediction.

    Raises:
        ProviderError: A real model would refuse the input, too.
    """
    try:
        if record.kind == "image":
            styles.find(_ImageInput.model_validate(record.input).finetune_id or record.model)
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


def render(record: StoredPrediction, files: _Files, number: int, styles: StyleStore) -> bytes:
    """The bytes of an output. They follow from the arguments alone."""
    if record.kind == "image":
        given = _ImageInput.model_validate(record.input)
        image = paint(given.prompt, record.seed + _SEED_STRIDE * number, *given.size)
        style = styles.find(given.finetune_id or record.model)
        return encode_png(add_watermark(style.apply(image) if style else image))
    if record.kind == "video":
        return render_video(seed=record.seed, **_video_arguments(record, files))
    return animate_face(*_face_and_sound(files))


def _video_arguments(record: StoredPrediction, files: _Files) -> dict[str, Any]:
    given = _VideoInput.model_validate(record.input)
    start, end = (
        [open_image(files[key]) for key in keys if key in files] for keys in (_START_FRAMES, _END_FRAMES)
    )
    if not start and (end or not given.prompt.strip()):
        raise ValueError("no image to start from")
    shape = start[0].width / start[0].height if start else 16 / 9
    nearest = min(VIDEO_SIZES.values(), key=lambda size: abs(size[0] / size[1] - shape))
    images = [*start[:1], *end[:1]]
    return {"prompt": given.prompt, "size": given.size or nearest, "seconds": given.seconds, "images": images}


def _face_and_sound(files: _Files) -> tuple[bytes, bytes]:
    """The file whose input's name contains `audio` is the sound, the other one the face."""
    (sound,) = (data for name, data in files.items() if "audio" in name)
    (face,) = (data for name, data in files.items() if "audio" not in name)
    return face, sound
