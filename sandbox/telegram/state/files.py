"""Files that bots and users have sent, kept on disk under their unique ids."""

import mimetypes
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sandbox.telegram.state.media_info import read_media_info
from sandbox.telegram.state.store import Store

_FILE_ID_PREFIXES = {
    "photo": "AgACAgIAAxk",
    "video": "BAACAgIAAxk",
    "animation": "CgACAgIAAxk",
    "audio": "CQACAgIAAxk",
    "voice": "AwACAgIAAxk",
    "document": "BQACAgIAAxk",
    "video_note": "DQACAgIAAxk",
    "sticker": "CAACAgIAAxk",
}
_FOLDERS = {"photo": "photos", "video": "videos", "animation": "animations", "voice": "voice", "audio": "music"}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file as one bot sees it.

    Attributes:
        file_id: Telegram's ``file_id``, which is valid for this bot only.
        unique_id: Telegram's ``file_unique_id``, and the file's name on disk.
        kind: The field of ``Message`` that it was sent in, such as ``photo``.
        size: Bytes.
        width: Pixels, 0 when unknown.
        height: Pixels, 0 when unknown.
        duration: Whole seconds, 0 when unknown.
        number: Makes ``path`` unique.
    """

    file_id: str
    unique_id: str
    bot_id: int
    kind: str
    size: int
    name: str
    mime_type: str
    width: int
    height: int
    duration: int
    number: int

    @property
    def path(self) -> str:
        """The ``file_path`` that ``getFile`` returns for it."""
        guessed = ".oga" if self.mime_type == "audio/ogg" else mimetypes.guess_extension(self.mime_type)
        suffix = Path(self.name).suffix or guessed or ""
        return f"{_FOLDERS.get(self.kind, 'documents')}/file_{self.number}{suffix}"


class FileStore:
    """Files by ``file_id`` and by the path of ``getFile``."""

    def __init__(self, store: Store, folder: Path | None) -> None:
        """Load the known files.

        Args:
            store: Keeps what is known about the files.
            folder: Keeps their contents; None uses a temporary folder, which ``close`` removes.
        """
        self._store = store
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="sandbox-telegram-")
        self._folder = folder or Path(self._temporary.name if self._temporary else "")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._by_id: dict[str, StoredFile] = {}
        self._by_path: dict[tuple[int, str], StoredFile] = {}
        for _, stored in store.load("file", StoredFile):
            self._index(stored)

    def add(self, bot_id: int, kind: str, data: bytes, name: str, declared_type: str | None = None) -> StoredFile:
        """Keep bytes as a new file of a bot.

        Args:
            bot_id: The bot that may use the file.
            kind: The field of ``Message`` that it is sent in, such as ``photo``.
            data: The content.
            name: The file's name.
            declared_type: The MIME type that the sender has given, used where the content tells none.
        """
        info = read_media_info(data, name, declared_type)
        stored = StoredFile(
            file_id=f"{_FILE_ID_PREFIXES[kind]}{secrets.token_urlsafe(36)}",
            unique_id=f"AgAD{secrets.token_urlsafe(9)}",
            bot_id=bot_id,
            kind=kind,
            size=len(data),
            name=name,
            mime_type=info.mime_type,
            width=info.width,
            height=info.height,
            duration=info.duration,
            number=len(self._by_id),
        )
        self.disk_path(stored).write_bytes(data)
        self._index(stored)
        self._store.save("file", stored.file_id, stored)
        return stored

    def _index(self, stored: StoredFile) -> None:
        self._by_id[stored.file_id] = stored
        self._by_path[stored.bot_id, stored.path] = stored

    def find(self, file_id: str) -> StoredFile | None:
        """Return the file with this ``file_id``, if there is one."""
        return self._by_id.get(file_id)

    def find_by_path(self, bot_id: int, path: str) -> StoredFile | None:
        """Return the file that a bot may download at this path, if there is one."""
        return self._by_path.get((bot_id, path))

    def disk_path(self, stored: StoredFile) -> Path:
        """Return where the content is on this machine."""
        return self._folder / stored.unique_id

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._by_id)

    def clear(self) -> None:
        """Remove all files, also from disk."""
        for stored in self._by_id.values():
            self.disk_path(stored).unlink(missing_ok=True)
        self._by_id.clear()
        self._by_path.clear()

    def close(self) -> None:
        """Remove the temporary folder, if there is one."""
        if self._temporary is not None:
            self._temporary.cleanup()
