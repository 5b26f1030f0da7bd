"""The offline maker of images: input keys as FLUX names them on Replicate."""

from collections.abc import Mapping

from providers.offline.image.landscape import IMAGE_SIZES, add_watermark, encode_png, render_landscape
from providers.offline.prediction_store import StoredPrediction, output_references
from providers.offline.trained_styles import StyleStore
from providers.protocols import ErrorKind, ProviderError

MAX_IMAGES = 4
SEED_STRIDE = 7919
"""Between the seeds of one order's pictures, so that the next order's seed gives none of them again."""


class ImageRenderer:
    """Reads `prompt`, `aspect_ratio` (1:1 where absent) and `num_outputs` (1 to 4).

    A model that the offline training made (`offline/anna:…`), asked for by its name or as `finetune_id`,
    lends its pictures its style. A picture to start from (any input file) is not looked at: these pictures
    follow from words.
    """

    def __init__(self, styles: StyleStore) -> None:
        self._styles = styles

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        given = record.input
        if str(given.get("aspect_ratio", "1:1")) not in IMAGE_SIZES:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: unknown aspect_ratio")
        count = given.get("num_outputs", 1)
        if not isinstance(count, int) or not 1 <= count <= MAX_IMAGES:
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
            record.prompt, record.seed + SEED_STRIDE * number, width, height, watermark=style is None
        )
        if style is not None:
            image = style.apply(image)
            add_watermark(image)
        return encode_png(image)


def _model_name(record: StoredPrediction) -> str:
    """The trained model, as FLUX's own fine-tunes name it, or the model itself."""
    return str(record.input.get("finetune_id") or record.model)
