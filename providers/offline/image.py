"""The offline maker of images: input keys as FLUX names them on Replicate."""

from collections.abc import Mapping
from typing import Any

from providers.offline.picture import SIZES, paint
from providers.offline.records import Record
from providers.protocols import ErrorKind, ProviderError

MOST = 4
STRIDE = 7919
"""Between the seeds of one order's pictures, so that the next order's seed gives none of them again."""


class ImageMaker:
    """Reads `prompt`, `aspect_ratio` (1:1 where absent) and `num_outputs` (1 to 4)."""

    def check(self, given: Mapping[str, Any]) -> None:
        if str(given.get("aspect_ratio", "1:1")) not in SIZES:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: unknown aspect_ratio")
        count = given.get("num_outputs", 1)
        if not isinstance(count, int) or not 1 <= count <= MOST:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: num_outputs must be 1 to 4")
        if not str(given.get("prompt", "")).strip():
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: the prompt is empty")

    def count(self, given: Mapping[str, Any]) -> int:
        return int(given.get("num_outputs", 1))

    def make(self, record: Record, files: Mapping[str, bytes], number: int) -> bytes:
        aspect = str(record.input.get("aspect_ratio", "1:1"))
        return paint(record.prompt, record.seed + STRIDE * number, aspect)
