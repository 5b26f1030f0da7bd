"""The offline maker of videos: input keys as the video models on Replicate name them."""

from collections.abc import Mapping

from providers.offline.image.loading import opened
from providers.offline.prediction_store import Record, references
from providers.offline.video.camera import LONGEST, SIZES, shoot
from providers.protocols import ErrorKind, ProviderError

STARTS = ("start_image", "first_frame_image", "first_frame", "input_image", "image")
ENDS = ("end_image", "last_frame_image", "last_frame", "last_image")
USUAL_SECONDS = 5.0


class VideoMaker:
    """Reads `prompt`, `aspect_ratio`, `duration` or `seconds`, and the files it starts from and ends with.

    Without an aspect ratio it has the shape nearest to that of the picture it starts from. Longer films
    than the offline camera makes (10 s) are cut to that.
    """

    def accept(self, record: Record, files: Mapping[str, bytes]) -> None:
        start, end = _first(files, STARTS), _first(files, ENDS)
        if not record.prompt.strip() and start is None:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: neither a prompt nor a picture to start from")
        if end is not None and start is None:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: a picture to end with and none to start from")
        for data in files.values():
            opened(data)
        _seconds(record)
        _aspect(record, start)

    def outputs(self, record: Record) -> tuple[str, ...]:
        return references(record, 1)

    def make(self, record: Record, files: Mapping[str, bytes], number: int) -> bytes:
        start, end = _first(files, STARTS), _first(files, ENDS)
        return shoot(
            record.prompt,
            record.seed,
            aspect=_aspect(record, start),
            seconds=_seconds(record),
            start=start,
            end=end,
        )


def _first(files: Mapping[str, bytes], names: tuple[str, ...]) -> bytes | None:
    return next((files[name] for name in names if name in files), None)


def _seconds(record: Record) -> float:
    given = record.input.get("duration", record.input.get("seconds", USUAL_SECONDS))
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: duration is no number of seconds") from None
    if not seconds > 0:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: duration must be more than 0 seconds")
    return min(seconds, LONGEST)


def _aspect(record: Record, start: bytes | None) -> str:
    if (asked := record.input.get("aspect_ratio")) is not None:
        if asked not in SIZES:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: unknown aspect_ratio")
        return str(asked)
    if start is None:
        return "16:9"
    image = opened(start)
    shape = image.width / image.height
    return min(SIZES, key=lambda name: abs(SIZES[name][0] / SIZES[name][1] - shape))
