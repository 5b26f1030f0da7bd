"""OfflineVoices: espeak-ng's voices, and voices made to resemble a recording, kept on disk."""

import asyncio
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from providers.protocols import ErrorKind, ProviderError, Voice
from sandbox.providers.audio.speech import MAX_TEXT_LENGTH, STOCK_VOICES, Timbre, match_voice, speak
from sandbox.providers.fault_triggers import raise_if_rejected, triggered_failure

_MAX_NAME_LENGTH = 100
_CLONE_ID = re.compile(r"^own-[0-9a-f]{16}$")


class _ClonedVoice(BaseModel):
    """A cloned voice, as it is stored in its file."""

    model_config = ConfigDict(frozen=True)

    name: str
    timbre: Timbre
    created_at: datetime


class OfflineVoices:
    """VoiceProvider on this machine; cloned voices are files in `data_dir`, one each.

    Each stock voice speaks English, Russian, Spanish and French. The words of
    sandbox/providers/fault_triggers.py make speaking a text fail, too.
    """

    name = "offline"
    offline = True
    max_text_length = MAX_TEXT_LENGTH

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir

    async def speak(self, text: str, voice_id: str, language: str) -> bytes:
        raise_if_rejected(text)
        if (failure := triggered_failure(text)) is not None:
            raise ProviderError(*failure)
        timbre = STOCK_VOICES.get(voice_id) or self._load(voice_id).timbre
        return await asyncio.to_thread(speak, text, language, timbre)

    async def list_voices(self) -> list[Voice]:
        """The stock voices, then the cloned ones, oldest first."""
        stock = [Voice(voice_id, voice_id.capitalize()) for voice_id in STOCK_VOICES]
        made = await asyncio.to_thread(self._clones)
        return stock + [Voice(voice_id, clone.name, cloned=True) for voice_id, clone in made]

    async def clone(self, name: str, samples: Mapping[str, bytes]) -> str:
        if not name.strip() or len(name) > _MAX_NAME_LENGTH:
            raise ProviderError(
                ErrorKind.BAD_INPUT, f"offline: a voice's name has 1 to {_MAX_NAME_LENGTH} characters"
            )
        raise_if_rejected(name)
        timbre = await asyncio.to_thread(match_voice, *samples.values())
        clone = _ClonedVoice(name=name, timbre=timbre, created_at=datetime.now(UTC))
        voice_id = f"own-{secrets.token_hex(8)}"
        try:
            await asyncio.to_thread(self._save, voice_id, clone)
        except OSError as error:
            raise ProviderError(ErrorKind.OVERLOADED, f"offline: {error.strerror}") from error
        return voice_id

    async def find_voice(self, name: str) -> str | None:
        made = await asyncio.to_thread(self._clones)
        return next((voice_id for voice_id, clone in reversed(made) if clone.name == name), None)

    async def delete(self, voice_id: str) -> None:
        if _CLONE_ID.match(voice_id):
            self._path(voice_id).unlink(missing_ok=True)
        elif voice_id in STOCK_VOICES:
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: a stock voice cannot be deleted")

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""

    def _path(self, voice_id: str) -> Path:
        return self._folder / f"{voice_id}.json"

    def _load(self, voice_id: str) -> _ClonedVoice:
        path = self._path(voice_id)
        if not _CLONE_ID.match(voice_id):
            raise ProviderError(ErrorKind.NOT_FOUND, "offline: no such voice")
        try:
            return _ClonedVoice.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ProviderError(ErrorKind.NOT_FOUND, "offline: no such voice") from None
        except ValidationError:
            raise ProviderError(ErrorKind.FAILED, "offline: a damaged voice file") from None

    def _clones(self) -> list[tuple[str, _ClonedVoice]]:
        found = []
        for path in self._folder.glob("own-*.json"):
            try:
                found.append((path.stem, self._load(path.stem)))
            except ProviderError as error:
                if error.kind is not ErrorKind.NOT_FOUND:  # deleted while we looked
                    raise
        return sorted(found, key=lambda one: one[1].created_at)

    def _save(self, voice_id: str, clone: _ClonedVoice) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._folder / f".{voice_id}"
        written.write_text(clone.model_dump_json(), encoding="utf-8")
        written.replace(self._path(voice_id))
