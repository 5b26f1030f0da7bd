"""What makes the offline provider's media: a renderer for each kind, with the input keys of Replicate's models."""

import re
from collections.abc import Mapping
from typing import Protocol

from providers.protocols import ErrorKind, PredictionKind, ProviderError
from sandbox.providers.audio.codec import decode_audio
from sandbox.providers.image.landscape import IMAGE_SIZES, add_watermark, encode_png, render_landscape
from sandbox.providers.image.loading import open_image
from sandbox.providers.prediction_store import StoredPrediction, output_references
from sandbox.providers.trained_styles import StyleStore, learn_style
from sandbox.providers.video.camera import MAX_VIDEO_SECONDS, VIDEO_SIZES, render_video
from sandbox.providers.video.lip_sync import animate_face, validate_face

_MAX_IMAGES = 4
_SEED_STRIDE = 7919
"""Between the seeds of one order's images, so that the next order's seed repeats none of them."""
_START_FRAME_KEYS = ("start_image", "first_frame_image", "first_frame", "input_image", "image")
_END_FRAME_KEYS = ("end_image", "last_frame_image", "last_frame", "last_image")
_DEFAULT_VIDEO_SECONDS = 5.0
_MAX_TRAINING_STEPS = 10_000


class Renderer(Protocol):
    """Makes one kind of media; everything it does follows from the record and the files alone."""

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        """Raise ProviderError for an input that a real model would refuse too. Runs in a thread.

        It is called before the prediction is stored; what must outlive the prediction is stored here.
        """
        ...

    def outputs(self, record: StoredPrediction) -> tuple[str, ...]:
        """The references of a prediction that succeeded."""
        ...

    def render(self, record: StoredPrediction, files: Mapping[str, bytes], number: int) -> bytes:
        """The bytes of output `number`. Runs in a thread."""
        ...


class _ImageRenderer:
    """Reads `prompt`, `aspect_ratio` (1:1 where absent) and `num_outputs` (1 to 4).

    Images of a model that the offline training made (`offline/anna:…`, given as the model or as `finetune_id`)
    have its style. Input files are ignored: the image follows from the prompt.
    """

    def __init__(self, styles: StyleStore) -> None:
        self._styles = styles

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        given = record.input
        if str(given.get("aspect_ratio", "1:1")) not in IMAGE_SIZES:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: unknown aspect_ratio")
        count = given.get("num_outputs", 1)
        if not isinstance(count, int) or not 1 <= count <= _MAX_IMAGES:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: num_outputs must be 1 to 4")
        if not record.prompt.strip():
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: the prompt is empty")
        self._styles.find(_model_name(record))

    def outputs(self, record: StoredPrediction) -> tuple[str, ...]:
        return output_references(record, int(record.input.get("num_outputs", 1)))

    def render(self, record: StoredPrediction, files: Mapping[str, bytes], number: int) -> bytes:
        width, height = IMAGE_SIZES[str(record.input.get("aspect_ratio", "1:1"))]
        style = self._styles.find(_model_name(record))
        image = render_landscape(
            record.prompt, record.seed + _SEED_STRIDE * number, width, height, watermark=style is None
        )
        if style is not None:
            image = style.apply(image)
            add_watermark(image)
        return encode_png(image)


def _model_name(record: StoredPrediction) -> str:
    """The trained model, as FLUX's own fine-tunes name it, or the model itself."""
    return str(record.input.get("finetune_id") or record.model)


class _VideoRenderer:
    """Reads `prompt`, `aspect_ratio`, `duration` or `seconds`, and the files it starts from and ends with.

    Without an aspect ratio it has the shape nearest to that of the image it starts from. Videos longer than the
    offline camera makes (10 s) are cut to that.
    """

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        start, end = _first_file(files, _START_FRAME_KEYS), _first_file(files, _END_FRAME_KEYS)
        if not record.prompt.strip() and start is None:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: neither a prompt nor an image to start from")
        if end is not None and start is None:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: an image to end with and none to start from")
        for data in files.values():
            open_image(data)
        _video_seconds(record)
        _aspect_ratio(record, start)

    def outputs(self, record: StoredPrediction) -> tuple[str, ...]:
        return output_references(record, 1)

    def render(self, record: StoredPrediction, files: Mapping[str, bytes], number: int) -> bytes:
        start, end = _first_file(files, _START_FRAME_KEYS), _first_file(files, _END_FRAME_KEYS)
        return render_video(
            record.prompt,
            record.seed,
            aspect=_aspect_ratio(record, start),
            seconds=_video_seconds(record),
            start=start,
            end=end,
        )


def _first_file(files: Mapping[str, bytes], names: tuple[str, ...]) -> bytes | None:
    return next((files[name] for name in names if name in files), None)


def _video_seconds(record: StoredPrediction) -> float:
    given = record.input.get("duration", record.input.get("seconds", _DEFAULT_VIDEO_SECONDS))
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: duration is not a number of seconds") from None
    if not seconds > 0:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: duration must be more than 0 seconds")
    return min(seconds, MAX_VIDEO_SECONDS)


def _aspect_ratio(record: StoredPrediction, start: bytes | None) -> str:
    if (aspect_ratio := record.input.get("aspect_ratio")) is not None:
        if aspect_ratio not in VIDEO_SIZES:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: unknown aspect_ratio")
        return str(aspect_ratio)
    if start is None:
        return "16:9"
    image = open_image(start)
    shape = image.width / image.height
    return min(VIDEO_SIZES, key=lambda name: abs(VIDEO_SIZES[name][0] / VIDEO_SIZES[name][1] - shape))


class _LipSyncRenderer:
    """Reads two files. The one whose input's name contains `audio` is the sound, the other one the face."""

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        face, sound = _face_and_audio(files)
        validate_face(face)
        decode_audio(sound, 8000, max_seconds=1.0)

    def outputs(self, record: StoredPrediction) -> tuple[str, ...]:
        return output_references(record, 1)

    def render(self, record: StoredPrediction, files: Mapping[str, bytes], number: int) -> bytes:
        return animate_face(*_face_and_audio(files))


def _face_and_audio(files: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    sounds = [data for name, data in files.items() if "audio" in name]
    faces = [data for name, data in files.items() if "audio" not in name]
    if len(sounds) != 1 or len(faces) != 1:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: a lip-sync takes one face and one audio")
    return faces[0], sounds[0]


class _TrainingRenderer:
    """Reads `trigger_word`, `steps` or `training_steps`, and one zip of photos.

    Its output is the name of a model, `offline/<trigger>:<id>`, whose images have the photos' colours.
    `name` and `gender` are ignored.
    """

    def __init__(self, styles: StyleStore) -> None:
        self._styles = styles

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        if not _trigger_word(record):
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: trigger_word is empty")
        steps = record.input.get("steps", record.input.get("training_steps", 1000))
        if not isinstance(steps, int) or not 1 <= steps <= _MAX_TRAINING_STEPS:
            raise ProviderError(ErrorKind.BAD_INPUT, f"offline: steps must be 1 to {_MAX_TRAINING_STEPS}")
        if len(files) != 1:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: a training takes one zip of photos")
        self._styles.save(_model_id(record), learn_style(next(iter(files.values()))))

    def outputs(self, record: StoredPrediction) -> tuple[str, ...]:
        return (f"offline/{_trigger_word(record)}:{_model_id(record)}",)

    def render(self, record: StoredPrediction, files: Mapping[str, bytes], number: int) -> bytes:
        raise ProviderError(ErrorKind.NOT_FOUND, "offline: a trained model is not a file")


def _trigger_word(record: StoredPrediction) -> str:
    """As far as a model's name can hold it."""
    return re.sub(r"[^a-z0-9_.-]", "", str(record.input.get("trigger_word", "")).lower())


def _model_id(record: StoredPrediction) -> str:
    return record.id.replace("-", "")


def build_renderers(styles: StyleStore) -> dict[PredictionKind, Renderer]:
    return {
        "image": _ImageRenderer(styles),
        "video": _VideoRenderer(),
        "lip_sync": _LipSyncRenderer(),
        "training": _TrainingRenderer(styles),
    }
