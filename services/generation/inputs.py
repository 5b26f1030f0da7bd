"""What an order asks for: words, one of several options, a file, a set of photos."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.core.errors import InvalidRequest

MB = 1024 * 1024
TELEGRAM_DOWNLOAD_BYTES = 20 * MB
"""What a bot may download: https://core.telegram.org/bots/api#getfile"""

Values = Mapping[str, Any]
"""The inputs of an order by id."""

FileKind = Literal["photo", "video", "voice", "audio"]


@dataclass(frozen=True)
class Option:
    """One choice of an input. `label` is shown as it is; `note` stands beside it where it is chosen."""

    value: str
    label: str
    note: str = ""


UserOptions = Mapping[str, tuple[Option, ...]]
"""What only this person can choose, by input id: their own models, their voices."""


@dataclass(frozen=True)
class TextInput:
    """A text the person types or speaks. Its question is the text `<service>.ask.<id>`.

    `main` is the input that words sent at the card belong to; an `improvable` one describes what is to be made.
    """

    id: str
    max_length: int
    main: bool = True

    @property
    def improvable(self) -> bool:
        return self.id == "prompt"

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> str:
        """The value as the service takes it. Raises Refused with what to change."""
        text = value.strip() if isinstance(value, str) else ""
        if not any(character.isalnum() for character in text):
            raise InvalidRequest("input.no_words")
        if len(text) > self.max_length:
            raise InvalidRequest("input.too_long", length=len(text), limit=self.max_length)
        return text


@dataclass(frozen=True)
class ChoiceInput:
    """One of several options; the first is the default, so it is never asked for."""

    id: str
    options: Callable[[Values, UserOptions], tuple[Option, ...]]
    columns: int = 2

    def selected(self, values: Values, user_options: UserOptions) -> Option | None:
        """What is chosen, or would be by default; None where nothing is offered."""
        options = self.options(values, user_options)
        matching = (option for option in options if option.value == values.get(self.id))
        return next(matching, options[0] if options else None)

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> str:
        if value not in {option.value for option in self.options(values, user_options)}:
            raise InvalidRequest("input.not_offered", value=str(value))
        return str(value)


class FileRef(BaseModel):
    """A file that Telegram keeps for us. Bytes are fetched when the work begins; no URL is ever stored."""

    model_config = ConfigDict(frozen=True)

    kind: FileKind
    file_id: str
    size: int
    seconds: int = 0
    """Length of a video, voice or audio."""
    document: bool = False
    """Sent as a file: Telegram has not looked at what is in it, so we must."""


@dataclass(frozen=True)
class FileInput:
    """A file the person sends: a photo, a video, a recording."""

    id: str
    kinds: tuple[FileKind, ...]
    max_bytes: int = TELEGRAM_DOWNLOAD_BYTES
    max_seconds: int = 0
    """Longest recording or film; 0 for photos."""
    needed: Callable[[Values], bool] = lambda values: True
    """Whether the other inputs call for this file at all."""

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> dict[str, Any] | None:
        if not self.needed(values):
            return None
        try:
            file = FileRef.model_validate(value)
        except ValidationError:
            raise InvalidRequest("input.file_please") from None
        self.validate_file(file)
        return file.model_dump()

    def validate_file(self, file: FileRef) -> None:
        """Refuse what is too large, too long or of the wrong kind, before anything is charged."""
        if file.kind not in self.kinds:
            raise InvalidRequest("input.wrong_kind")
        if file.size > self.max_bytes:
            raise InvalidRequest("input.too_large", size=_format_megabytes(file.size), limit=self.max_bytes // MB)
        if self.max_seconds and file.seconds > self.max_seconds:
            raise InvalidRequest(
                "input.too_long_recording", minutes=-(-file.seconds // 60), limit=self.max_seconds
            )


@dataclass(frozen=True)
class PhotosInput:
    """Many photos, sent as albums or one by one until /done."""

    id: str
    min_count: int
    max_count: int
    max_bytes: int = 10 * MB

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> list[dict[str, Any]]:
        photos = [FileRef.model_validate(each) for each in value or []]
        if len(photos) < self.min_count:
            raise InvalidRequest("input.too_few_photos", count=len(photos), least=self.min_count)
        if len(photos) > self.max_count:
            raise InvalidRequest("input.too_many_photos", most=self.max_count)
        for photo in photos:
            self.validate_file(photo)
        return [photo.model_dump() for photo in photos]

    def validate_file(self, file: FileRef) -> None:
        if file.kind != "photo":
            raise InvalidRequest("input.wrong_kind")
        if file.size > self.max_bytes:
            raise InvalidRequest("input.too_large", size=_format_megabytes(file.size), limit=self.max_bytes // MB)


Input = TextInput | ChoiceInput | FileInput | PhotosInput


def _format_megabytes(size: int) -> str:
    return f"{size / MB:.1f}"
