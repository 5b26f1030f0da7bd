"""Real sounds for tests: tones as voice notes, and how long and loud a sound is."""

from functools import cache

import numpy as np

from providers.offline.audio.codec import heard, voice_note

RATE = 24_000


@cache
def beep(seconds: float, hertz: float = 330.0) -> bytes:
    """A voice note (OGG/Opus) of a tone."""
    at = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    return voice_note((np.sin(2 * np.pi * hertz * at) * 0.5).astype(np.float32), RATE)


def length_and_loudness(sound: bytes) -> tuple[float, float]:
    """Seconds, and the root mean square from 0 to 1."""
    samples = heard(sound, 16_000, longest=900.0)
    return len(samples) / 16_000, float(np.sqrt((samples**2).mean()))
