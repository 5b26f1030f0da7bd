"""Which media the offline provider can make: one entry, and one module, for each kind."""

from collections.abc import Mapping
from typing import Protocol

from providers.offline.prediction_store import Record
from providers.offline.renderer_image import ImageMaker
from providers.offline.renderer_lip_sync import LipSyncMaker
from providers.offline.renderer_training import TrainingMaker
from providers.offline.renderer_video import VideoMaker
from providers.offline.trained_styles import Styles
from providers.protocols import Kind


class Maker(Protocol):
    """Makes one kind of media; everything it does follows from the record and the files alone."""

    def accept(self, record: Record, files: Mapping[str, bytes]) -> None:
        """Raise ProviderError for an input that a real model would refuse too; runs in a thread.

        Called before the prediction is written down: what must outlive the prediction is kept here.
        """
        ...

    def outputs(self, record: Record) -> tuple[str, ...]:
        """The references that a prediction that went well ends with."""
        ...

    def make(self, record: Record, files: Mapping[str, bytes], number: int) -> bytes:
        """The bytes of output `number`. Runs in a thread."""
        ...


def makers(styles: Styles) -> dict[Kind, Maker]:
    return {
        "image": ImageMaker(styles),
        "video": VideoMaker(),
        "lip_sync": LipSyncMaker(),
        "training": TrainingMaker(styles),
    }
