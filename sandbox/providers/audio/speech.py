"""Offline speech: espeak-ng speaks the text, in a stock voice or in one that resembles a sample."""

import re
from dataclasses import dataclass

import numpy as np

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.audio.codec import AudioSamples, decode_audio, encode_voice_note
from sandbox.providers.audio.espeak import synthesize

_ESPEAK_LANGUAGES = {"en": "en-us", "ru": "ru", "es": "es", "fr": "fr"}
"""Our languages as espeak-ng names them."""
MALE_PITCH, FEMALE_PITCH = 110.0, 200.0
"""Hertz: about where espeak-ng's male and female voices speak with its pitch at 50."""
MAX_TEXT_LENGTH = 10_000


@dataclass(frozen=True)
class Timbre:
    """How it sounds: espeak-ng's variant, words per minute, pitch and liveliness from 0 to 99."""

    variant: str
    speed: int = 155
    pitch: int = 50
    pitch_range: int = 50


STOCK_VOICES: dict[str, Timbre] = {
    "anna": Timbre("f2", 160, 52, 60),
    "maria": Timbre("f5", 145, 40, 50),
    "alice": Timbre("f3", 170, 62, 65),
    "david": Timbre("m3", 150, 45, 50),
    "boris": Timbre("m7", 140, 32, 40),
    "leo": Timbre("m1", 165, 55, 55),
}
"""Stock voices; each speaks every language."""


def speak(text: str, language: str, voice: Timbre) -> bytes:
    """A voice note (OGG/Opus, one channel) that speaks the text; `language` is en, ru, es or fr.

    The text is also stored in the note's comments, where OfflineTranscription reads it.
    A text without a single word raises ProviderError (BAD_INPUT).
    """
    if not re.search(r"\w", text) or len(text) > MAX_TEXT_LENGTH:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: nothing to say, or too much")
    spoken = _ESPEAK_LANGUAGES.get(detect_language(text, language), _ESPEAK_LANGUAGES["en"])
    name = f"{spoken}+{voice.variant}"
    sound, rate = synthesize(text.replace("\0", " "), name, voice.speed, voice.pitch, voice.pitch_range)
    if not sound.size:
        raise ProviderError(ErrorKind.FAILED, "offline: espeak-ng said nothing")
    return encode_voice_note(_normalize(sound), rate, text)


def detect_language(text: str, language: str) -> str:
    """Russian for Cyrillic and not Russian for Latin letters, whatever language was asked for."""
    cyrillic = len(re.findall(r"[а-яё]", text, re.IGNORECASE))
    latin = len(re.findall(r"[a-zà-ÿ]", text, re.IGNORECASE))
    if cyrillic > latin:
        return "ru"
    return "en" if language == "ru" and latin else language


def match_voice(*samples: bytes) -> Timbre:
    """A voice as high and as lively as the one in the samples: the offline stand-in for a clone.

    Its variants are none of the stock voices', so that it never sounds like one of them.
    """
    rate = 8000
    found = [_detect_pitches(decode_audio(sample, rate, max_seconds=30), rate) for sample in samples]
    pitches = np.concatenate([*found, np.zeros(0, np.float32)])
    if not len(pitches):
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: no voice can be heard in the samples")
    middle = float(np.median(pitches))
    female = middle > 160
    usual = FEMALE_PITCH if female else MALE_PITCH
    pitch = int(np.clip(50 + 55 * np.log2(middle / usual), 5, 95))
    spread = float(np.std(np.log2(pitches)))
    variants = ("f1", "f4", "Annie", "linda") if female else ("m2", "m5", "m8", "paul")
    which = int(middle * 7) % len(variants)
    return Timbre(variants[which], 150 + int(middle) % 25, pitch, int(np.clip(25 + 220 * spread, 20, 95)))


def _detect_pitches(sound: AudioSamples, rate: int) -> AudioSamples:
    """The pitch in hertz of every 40 ms that have one, by autocorrelation."""
    size = rate // 25
    low, high = rate // 350, rate // 70
    found = []
    for start in range(0, len(sound) - 2 * size, size):
        part = sound[start : start + 2 * size] - sound[start : start + 2 * size].mean()
        power = float((part**2).sum())
        if power < 1e-3:
            continue
        spectrum = np.abs(np.fft.rfft(part, 4 * size)) ** 2
        alike = np.fft.irfft(spectrum)[low:high] / power
        best = int(alike.argmax())
        if alike[best] > 0.45:
            found.append(rate / (low + best))
    return np.array(found, np.float32)


def _normalize(sound: AudioSamples) -> AudioSamples:
    """At one loudness, with a breath before and after."""
    peak = max(float(np.abs(sound).max()), 1e-4)
    quiet = np.zeros(2205, np.float32)
    return np.concatenate([quiet, sound * np.float32(0.85 / peak), quiet])
