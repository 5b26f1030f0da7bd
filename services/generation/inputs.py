"""What an order asks for: a text, one of several options, a file, or a set of photos.

Each kind of input has `validate`, which every order passes before anything is charged.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.core.errors import InvalidRequest

MB: Final = 1024 * 1024
TELEGRAM_DOWNLOAD_BYTES: Final = 20 * MB
"""The largest file that a bot can download: https://core.telegram.org/bots/api#getfile"""

Values = Mapping[str, Any]
"""The values of an order's inputs, by their ids."""

FileKind = Literal["photo", "video", "voice", "audio"]


@dataclass(frozen=True)
class Option:
    """One option of a choice.

    Attributes:
        value: What the order keeps.
        label: What users see, as it is.
        note: What is shown beside the label where users choose, such as a price.
    """

    value: str
    label: str
    note: str = ""


UserOptions = Mapping[str, tuple[Option, ...]]
"""The options that only one user has (their models, their voices), by the ids of inputs."""


@dataclass(frozen=True)
class TextInput:
    """A text that the user types or speaks. Its question is the text `<service>.ask.<id>`.

    Attributes:
        id: The input's name.
        max_length: In characters.
        main: Whether a text that is sent while the order's card is open belongs to this input.
    """

    id: str
    max_length: int
    main: bool = True

    @property
    def improvable(self) -> bool:
        """Whether the text describes what to make, so that it can be improved."""
        return self.id == "prompt"

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> str:
        """Check the text.

        Args:
            value: What the user sent.
            values: The order's other values.
            user_options: The user's own options.

        Returns:
            The text as the service takes it: without white space around it.

        Raises:
            InvalidRequest: It has no letter or digit, or is too long.
        """
        text = value.strip() if isinstance(value, str) else ""
        if not any(character.isalnum() for character in text):
            raise InvalidRequest("input.no_words")
        if len(text) > self.max_length:
            raise InvalidRequest("input.too_long", length=len(text), limit=self.max_length)
        return text


@dataclass(frozen=True)
class ChoiceInput:
    """One of several options. The first is the default, so a choice is never asked for.

    Attributes:
        id: The input's name.
        options: The options, which may depend on the order's other values and on the user.
        columns: How many of them are shown in a row.
    """

    id: str
    options: Callable[[Values, UserOptions], tuple[Option, ...]]
    columns: int = 2

    def selected(self, values: Values, user_options: UserOptions) -> Option | None:
        """The chosen option; the default where none was chosen; None where there are no options."""
        options = self.options(values, user_options)
        matching = (option for option in options if option.value == values.get(self.id))
        return next(matching, options[0] if options else None)

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> str:
        """The value of one of the options. Raises InvalidRequest where it is not offered."""
        if value not in {option.value for option in self.options(values, user_options)}:
            raise InvalidRequest("input.not_offered", value=str(value))
        return str(value)


class FileRef(BaseModel):
    """A file that Telegram keeps for us. It is downloaded when the work begins; no URL is ever stored.

    Attributes:
        kind: What it was sent as.
        file_id: Telegram's id, which only the bot that received it can use:
            https://core.telegram.org/bots/api#sending-files
        size: In bytes.
        seconds: The length of a video, voice message or audio.
        document: Whether it was sent as a file. Telegram does not look into those, so we have to.
    """

    model_config = ConfigDict(frozen=True)

    kind: FileKind
    file_id: str
    size: int
    seconds: int = 0
    document: bool = False


@dataclass(frozen=True)
class FileInput:
    """A file that the user sends: a photo, a video, a recording.

    Attributes:
        id: The input's name.
        kinds: The kinds of file that it takes.
        max_bytes: The largest file.
        max_seconds: The longest recording or video; 0 for no limit.
        needed: Whether the order's other values call for this file at all.
    """

    id: str
    kinds: tuple[FileKind, ...]
    max_bytes: int = TELEGRAM_DOWNLOAD_BYTES
    max_seconds: int = 0
    needed: Callable[[Values], bool] = lambda values: True

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> dict[str, Any] | None:
        """Check the file.

        Args:
            value: A FileRef as JSON.
            values: The order's other values.
            user_options: The user's own options.

        Returns:
            The FileRef as JSON; None where the order needs no such file.

        Raises:
            InvalidRequest: There is no file, or `validate_file` refuses it.
        """
        if not self.needed(values):
            return None
        try:
            file = FileRef.model_validate(value)
        except ValidationError:
            raise InvalidRequest("input.file_please") from None
        self.validate_file(file)
        return file.model_dump()

    def validate_file(self, file: FileRef) -> None:
        """Raise InvalidRequest for a file that is too large, too long or of the wrong kind."""
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
    """Many photos, sent as albums or one by one until /done.

    Attributes:
        id: The input's name.
        min_count: The fewest photos.
        max_count: The most photos.
        max_bytes: The largest photo.
    """

    id: str
    min_count: int
    max_count: int
    max_bytes: int = 10 * MB

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> list[dict[str, Any]]:
        """Check the photos.

        Args:
            value: A list of FileRefs as JSON.
            values: The order's other values.
            user_options: The user's own options.

        Returns:
            The FileRefs as JSON.

        Raises:
            InvalidRequest: There are too few or too many photos, or `validate_file` refuses one.
        """
        photos = [FileRef.model_validate(each) for each in value or []]
        if len(photos) < self.min_count:
            raise InvalidRequest("input.too_few_photos", count=len(photos), least=self.min_count)
        if len(photos) > self.max_count:
            raise InvalidRequest("input.too_many_photos", most=self.max_count)
        for photo in photos:
            self.validate_file(photo)
        return [photo.model_dump() for photo in photos]

    def validate_file(self, file: FileRef) -> None:
        """Raise InvalidRequest for a file that is too large or not a photo."""
        if file.kind != "photo":
            raise InvalidRequest("input.wrong_kind")
        if file.size > self.max_bytes:
            raise InvalidRequest("input.too_large", size=_format_megabytes(file.size), limit=self.max_bytes // MB)


Input = TextInput | ChoiceInput | FileInput | PhotosInput


def _format_megabytes(size: int) -> str:
    return f"{size / MB:.1f}"
