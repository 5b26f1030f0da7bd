"""The offline maker of images: input keys as FLUX names them on Replicate."""

from collections.abc import Mapping

from providers.offline.image.landscape import SIZES, encoded, picture, sign
from providers.offline.prediction_store import Record, references
from providers.offline.trained_styles import Styles
from providers.protocols import ErrorKind, ProviderError

MOST = 4
STRIDE = 7919
"""Between the seeds of one order's pictures, so that the next order's seed gives none of them again."""


class ImageMaker:
    """Reads `prompt`, `aspect_ratio` (1:1 where absent) and `num_outputs` (1 to 4).

    A model that the offline training made (`offline/anna:…`), asked for by its name or as `finetune_id`,
    lends its pictures its style. A picture to start from (any input file) is not looked at: these pictures
    follow from words.
    """

    def __init__(self, styles: Styles) -> None:
        self._styles = styles

    def accept(self, record: Record, files: Mapping[str, bytes]) -> None:
        given = record.input
        if str(given.get("aspect_ratio", "1:1")) not in SIZES:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: unknown aspect_ratio")
        count = given.get("num_outputs", 1)
        if not isinstance(count, int) or not 1 <= count <= MOST:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: num_outputs must be 1 to 4")
        if not record.prompt.strip():
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: the prompt is empty")
        self._styles.of_model(_model(record))

    def outputs(self, record: Record) -> tuple[str, ...]:
        return references(record, int(record.input.get("num_outputs", 1)))

    def make(self, record: Record, files: Mapping[str, bytes], number: int) -> bytes:
        width, height = SIZES[str(record.input.get("aspect_ratio", "1:1"))]
        style = self._styles.of_model(_model(record))
        image = picture(record.prompt, record.seed + STRIDE * number, width, height, mark=style is None)
        if style is not None:
            image = style.applied_to(image)
            sign(image)
        return encoded(image)


def _model(record: Record) -> str:
    """The trained model, as FLUX's own fine-tunes name it, or the model itself."""
    return str(record.input.get("finetune_id") or record.model)
