"""The offline maker of models: what it learns from the photos is their style."""

import re
from collections.abc import Mapping

from providers.offline.prediction_store import StoredPrediction
from providers.offline.trained_styles import StyleStore, learn_style
from providers.protocols import ErrorKind, ProviderError

MAX_STEPS = 10_000


class TrainingRenderer:
    """Reads `trigger_word`, `steps` or `training_steps`, and one zip of photos.

    Its output is the name of a model, `offline/<trigger>:<id>`, whose pictures have the photos' colours.
    `name` and `gender` change nothing here.
    """

    def __init__(self, styles: StyleStore) -> None:
        self._styles = styles

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        if not _trigger_word(record):
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: trigger_word is empty")
        steps = record.input.get("steps", record.input.get("training_steps", 1000))
        if not isinstance(steps, int) or not 1 <= steps <= MAX_STEPS:
            raise ProviderError(ErrorKind.BAD_INPUT, f"offline: steps must be 1 to {MAX_STEPS}")
        if len(files) != 1:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: a training takes one zip of photos")
        self._styles.save(_model_id(record), learn_style(next(iter(files.values()))))

    def outputs(self, record: StoredPrediction) -> tuple[str, ...]:
        return (f"offline/{_trigger_word(record)}:{_model_id(record)}",)

    def render(self, record: StoredPrediction, files: Mapping[str, bytes], number: int) -> bytes:
        raise ProviderError(ErrorKind.NOT_FOUND, "offline: a trained model is no file")


def _trigger_word(record: StoredPrediction) -> str:
    """As far as a model's name can hold it."""
    return re.sub(r"[^a-z0-9_.-]", "", str(record.input.get("trigger_word", "")).lower())


def _model_id(record: StoredPrediction) -> str:
    return record.id.replace("-", "")
