"""The offline maker of videos: input keys as the video models on Replicate name them."""

from collections.abc import Mapping

from providers.offline.image.loading import open_image
from providers.offline.prediction_store import StoredPrediction, output_references
from providers.offline.video.camera import MAX_VIDEO_SECONDS, VIDEO_SIZES, render_video
from providers.protocols import ErrorKind, ProviderError

START_FRAME_KEYS = ("start_image", "first_frame_image", "first_frame", "input_image", "image")
END_FRAME_KEYS = ("end_image", "last_frame_image", "last_frame", "last_image")
DEFAULT_SECONDS = 5.0


class VideoRenderer:
    """Reads `prompt`, `aspect_ratio`, `duration` or `seconds`, and the files it starts from and ends with.

    Without an aspect ratio it has the shape nearest to that of the picture it starts from. Longer films
    than the offline camera makes (10 s) are cut to that.
    """

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        start, end = _first_file(files, START_FRAME_KEYS), _first_file(files, END_FRAME_KEYS)
        if not record.prompt.strip() and start is None:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: neither a prompt nor a picture to start from")
        if end is not None and start is None:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: a picture to end with and none to start from")
        for data in files.values():
            open_image(data)
        _seconds(record)
        _aspect_ratio(record, start)

    def outputs(self, record: StoredPrediction) -> tuple[str, ...]:
        return output_references(record, 1)

    def render(self, record: StoredPrediction, files: Mapping[str, bytes], number: int) -> bytes:
        start, end = _first_file(files, START_FRAME_KEYS), _first_file(files, END_FRAME_KEYS)
        return render_video(
            record.prompt,
            record.seed,
            aspect=_aspect_ratio(record, start),
            seconds=_seconds(record),
            start=start,
            end=end,
        )


def _first_file(files: Mapping[str, bytes], names: tuple[str, ...]) -> bytes | None:
    return next((files[name] for name in names if name in files), None)


def _seconds(record: StoredPrediction) -> float:
    given = record.input.get("duration", record.input.get("seconds", DEFAULT_SECONDS))
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: duration is no number of seconds") from None
    if not seconds > 0:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: duration must be more than 0 seconds")
    return min(seconds, MAX_VIDEO_SECONDS)


def _aspect_ratio(record: StoredPrediction, start: bytes | None) -> str:
    if (asked := record.input.get("aspect_ratio")) is not None:
        if asked not in VIDEO_SIZES:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: unknown aspect_ratio")
        return str(asked)
    if start is None:
        return "16:9"
    image = open_image(start)
    shape = image.width / image.height
    return min(VIDEO_SIZES, key=lambda name: abs(VIDEO_SIZES[name][0] / VIDEO_SIZES[name][1] - shape))
