"""The kinds of input that an order can have: a text, a choice, a file, or a set of photos.

Each kind has a `validate` method, which is called before an order is charged.
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
"""The values of an order's inputs, by input id."""

FileKind = Literal["photo", "video", "voice", "audio"]


@dataclass(frozen=True)
class Option:
    """One option of a choice.

    Attributes:
        value: The value stored in the order.
        label: The text shown to users, the same in every language.
        note: A note shown beside the label, such as a price.
    """

    value: str
    label: str
    note: str = ""


UserOptions = Mapping[str, tuple[Option, ...]]
"""The options that only one user has (their models, their voices), by input id."""


@dataclass(frozen=True)
class TextInput:
    """A text that the user types or speaks. The key of its question is `<service>.ask.<id>`.

    Attributes:
        id: The input's id.
        max_length: The maximum length, in characters.
        main: Whether a text that the user sends while the draft is open goes to this input.
    """

    id: str
    max_length: int
    main: bool = True

    @property
    def improvable(self) -> bool:
        """Whether the text is a prompt, which can be improved."""
        return self.id == "prompt"

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> str:
        """Check the text.

        Args:
            value: The text that the user sent.
            values: The order's other values.
            user_options: The user options.

        Returns:
            The text without surrounding white space.

        Raises:
            InvalidRequest: The text has no letter or digit, or is too long.
        """
        text = value.strip() if isinstance(value, str) else ""
        if not any(character.isalnum() for character in text):
            raise InvalidRequest("input.no_words")
        if len(text) > self.max_length:
            raise InvalidRequest("input.too_long", length=len(text), limit=self.max_length)
        return text


@dataclass(frozen=True)
class ChoiceInput:
    """A choice between options. The first is the default, so the user is never asked for a choice.

    Attributes:
        id: The input's id.
        options: Returns the options, which may depend on the order's other values and on the user.
        columns: The number of options shown per row.
    """

    id: str
    options: Callable[[Values, UserOptions], tuple[Option, ...]]
    columns: int = 2

    def selected(self, values: Values, user_options: UserOptions) -> Option | None:
        """Return the chosen option, the default if none was chosen, or None if there are no options."""
        options = self.options(values, user_options)
        matching = (option for option in options if option.value == values.get(self.id))
        return next(matching, options[0] if options else None)

    def validate(self, value: Any, values: Values, user_options: UserOptions) -> str:
        """Return the value. Raises InvalidRequest if it is not one of the options."""
        if value not in {option.value for option in self.options(values, user_options)}:
            raise InvalidRequest("input.not_offered", value=str(value))
        return str(value)


class FileRef(BaseModel):
    """A reference to a file stored by Telegram. It is downloaded when the work begins; URLs are never stored.

    Attributes:
        kind: The kind of message it was sent as.
        file_id: Telegram's file id. Only the bot that received the file can use it:
            https://core.telegram.org/bots/api#sending-files
        size: The size in bytes.
        seconds: The length of a video, voice message or audio, in seconds.
        document: Whether it was sent as a file. Telegram does not check the content of those, so we do.
    """

    model_config = ConfigDict(frozen=True)

    kind: FileKind
    file_id: str
    size: int
    seconds: int = 0
    document: bool = False


@dataclass(frozen=True)
class FileInput:
    """A file that the user sends: a photo, a video or a recording.

    Attributes:
        id: The input's id.
        kinds: The accepted kinds of file.
        max_bytes: The maximum size, in bytes.
        max_seconds: The maximum length of a recording or video, in seconds; 0 for no limit.
        needed: Whether the file is needed, given the order's other values.
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
            user_options: The user options.

        Returns:
            The FileRef as JSON, or None if the order does not need this file.

        Raises:
            InvalidRequest: The file is missing, or `validate_file` rejects it.
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
        """Raise InvalidRequest if the file is too large, too long or of the wrong kind."""
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
    """A set of photos, sent as albums or one by one until /done.

    Attributes:
        id: The input's id.
        min_count: The minimum number of photos.
        max_count: The maximum number of photos.
        max_bytes: The maximum size of a photo, in bytes.
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
            user_options: The user options.

        Returns:
            The FileRefs as JSON.

        Raises:
            InvalidRequest: There are too few or too many photos, or `validate_file` rejects one.
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
        """Raise InvalidRequest if the file is too large or not a photo."""
        if file.kind != "photo":
            raise InvalidRequest("input.wrong_kind")
        if file.size > self.max_bytes:
            raise InvalidRequest("input.too_large", size=_format_megabytes(file.size), limit=self.max_bytes // MB)


Input = TextInput | ChoiceInput | FileInput | PhotosInput


def _format_megabytes(size: int) -> str:
    return f"{size / MB:.1f}"
