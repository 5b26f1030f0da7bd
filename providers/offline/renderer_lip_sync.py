"""The offline maker of lip-syncs: a photo or a video, and a sound."""

from collections.abc import Mapping

from providers.offline.audio.codec import decode_audio
from providers.offline.prediction_store import StoredPrediction, output_references
from providers.offline.video.lip_sync import animate_face, validate_face
from providers.protocols import ErrorKind, ProviderError


class LipSyncRenderer:
    """Reads two files. The one whose input's name speaks of audio is the sound, the other one the face."""

    def validate(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        face, sound = _face_and_audio(files)
        validate_face(face)
        decode_audio(sound, 8000, max_seconds=1.0)

    def outputs(self, record: StoredPrediction) -> tuple[str, ...]:
        return output_references(record, 1)

    def render(self, record: StoredPrediction, files: Mapping[str, bytes], number: int) -> bytes:
        return animate_face(*_face_and_audio(files))


def _face_and_audio(files: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    sounds = [data for name, data in files.items() if "audio" in name]
    faces = [data for name, data in files.items() if "audio" not in name]
    if len(sounds) != 1 or len(faces) != 1:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: a lip-sync takes one face and one audio")
    return faces[0], sounds[0]
