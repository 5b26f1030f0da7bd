"""Real sounds for tests: tones as voice notes, and how long and loud a sound is."""

from functools import cache

import numpy as np

from sandbox.providers.sound import decode_audio, encode_voice_note

RATE = 24_000


@cache
def beep(seconds: float, frequency: float = 330.0) -> bytes:
    """A voice note (OGG/Opus) of a tone."""
    at = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    return encode_voice_note((np.sin(2 * np.pi * frequency * at) * 0.5).astype(np.float32), RATE)


def duration_and_loudness(sound: bytes) -> tuple[float, float]:
    """Seconds, and the root mean square from 0 to 1."""
    samples = decode_audio(sound, 16_000, max_seconds=900.0)
    return len(samples) / 16_000, float(np.sqrt((samples**2).mean()))
