"""The offline maker of lip-syncs: a photo or a video, and a sound."""

from collections.abc import Mapping

from providers.offline.audio.codec import heard
from providers.offline.prediction_store import Record, references
from providers.offline.video.lip_sync import check_face, talk
from providers.protocols import ErrorKind, ProviderError


class LipSyncMaker:
    """Reads two files. The one whose input's name speaks of audio is the sound, the other one the face."""

    def accept(self, record: Record, files: Mapping[str, bytes]) -> None:
        face, sound = _face_and_sound(files)
        check_face(face)
        heard(sound, 8000, longest=1.0)

    def outputs(self, record: Record) -> tuple[str, ...]:
        return references(record, 1)

    def make(self, record: Record, files: Mapping[str, bytes], number: int) -> bytes:
        return talk(*_face_and_sound(files))


def _face_and_sound(files: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    sounds = [data for name, data in files.items() if "audio" in name]
    faces = [data for name, data in files.items() if "audio" not in name]
    if len(sounds) != 1 or len(faces) != 1:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: a lip-sync takes one face and one audio")
    return faces[0], sounds[0]
