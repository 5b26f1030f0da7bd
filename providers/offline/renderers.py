"""Which media the offline provider can make: one entry, and one module, for each kind."""

from collections.abc import Mapping
from typing import Protocol

from providers.offline.prediction_store import StoredPrediction
from providers.offline.renderer_image import ImageRenderer
from providers.offline.renderer_lip_sync import LipSyncRenderer
from providers.offline.renderer_training import TrainingRenderer
from providers.offline.renderer_video import VideoRenderer
from providers.offline.trained_styles import StyleStore
from providers.protocols import PredictionKind


class Renderer(Protocol):
    """Makes one kind of media; everything it does follows from the record and the files alone."""

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        """Raise ProviderError for an input that a real model would refuse too; runs in a thread.

        Called before the prediction is written down: what must outlive the prediction is kept here.
        """
        ...

    def outputs(self, record: StoredPrediction) -> tuple[str, ...]:
        """The references that a prediction that went well ends with."""
        ...

    def render(self, record: StoredPrediction, files: Mapping[str, bytes], number: int) -> bytes:
        """The bytes of output `number`. Runs in a thread."""
        ...


def build_renderers(styles: StyleStore) -> dict[PredictionKind, Renderer]:
    return {
        "image": ImageRenderer(styles),
        "video": VideoRenderer(),
        "lip_sync": LipSyncRenderer(),
        "training": TrainingRenderer(styles),
    }
