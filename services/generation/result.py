"""What a service made: media to send, words to send, or something the person now owns."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

MediaKind = Literal["photo", "video", "voice"]


class Media(BaseModel):
    """One piece of a result. `output` is a reference: a prediction's output, or the name of a blob of this job."""

    model_config = ConfigDict(frozen=True)

    kind: MediaKind
    output: str
    blob: bool = False


class JobResult(BaseModel):
    """`offline` says that it was made by a stand-in on this machine. `text` is words that were made, shown so
    that they can be copied; `note` is the key of a line about what the person now has."""

    model_config = ConfigDict(frozen=True)

    media: tuple[Media, ...] = ()
    text: str = ""
    note: str = ""
    offline: bool = False
