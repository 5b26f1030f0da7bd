"""What a service has made: media to send, a text to send, or something that the user now owns."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

MediaKind = Literal["photo", "video", "voice"]


class Media(BaseModel):
    """One piece of a result.

    Attributes:
        kind: What Telegram sends it as.
        output: Where its bytes are: an output of a prediction, which the provider fetches, or a blob of this job.
        blob: Whether `output` is the name of a blob.
    """

    model_config = ConfigDict(frozen=True)

    kind: MediaKind
    output: str
    blob: bool = False


class JobResult(BaseModel):
    """What a job ends with. It is stored with the job, so that a result can be used again later.

    Attributes:
        media: What is sent, in this order.
        text: A text that was made, shown so that it can be copied.
        note: The key of a line about what the user now owns.
        offline: Whether an offline stand-in made it, which the message to the user then says.
    """

    model_config = ConfigDict(frozen=True)

    media: tuple[Media, ...] = ()
    text: str = ""
    note: str = ""
    offline: bool = False
