"""The result of a service: media or text to send, or something that the user now owns."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

MediaKind = Literal["photo", "video", "voice"]


class Media(BaseModel):
    """One media file of a result.

    Attributes:
        kind: The kind of message it is sent as.
        output: An output of a prediction, downloaded by the provider's `fetch`, or the name of a blob of this job.
        blob: Whether `output` is the name of a blob.
    """

    model_config = ConfigDict(frozen=True)

    kind: MediaKind
    output: str
    blob: bool = False


class JobResult(BaseModel):
    """The result of a job. It is stored with the job, so that it can be reused later.

    Attributes:
        media: The media to send, in order.
        text: The resulting text, shown so that it can be copied.
        note: The key of a line about something that the user now owns.
        offline: Whether it was made by an offline replacement. The message to the user then says so.
    """

    model_config = ConfigDict(frozen=True)

    media: tuple[Media, ...] = ()
    text: str = ""
    note: str = ""
    offline: bool = False
