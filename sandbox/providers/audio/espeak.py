"""espeak-ng, called through ctypes: text in, samples out. One sentence at a time: the library has global state."""

import ctypes
import importlib
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.audio.codec import AudioSamples

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
RATE, PITCH, PITCH_RANGE = 1, 3, 4
_MAX_PATH_LENGTH = 150
"""Characters that espeak-ng has room for in the path of its data."""

_lock = threading.Lock()
_callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _Engine:
    """The loaded library. It keeps the callback, which the library calls but does not own."""

    def __init__(self) -> None:
        loader: Any = importlib.import_module("espeakng_loader")  # it has no types
        data = Path(loader.get_data_path())
        if len(str(data)) > _MAX_PATH_LENGTH:
            raise ProviderError(ErrorKind.FAILED, "offline: espeak-ng's data lies in too long a path")
        self._library: Any = ctypes.CDLL(loader.get_library_path())
        self.rate = int(
            self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), ctypes.c_int(_DONT_EXIT))
        )
        if self.rate <= 0:
            raise ProviderError(ErrorKind.FAILED, "offline: espeak-ng did not start")
        self._samples: list[AudioSamples] = []
        self._callback: Callable[..., int] = _callback_type(self._collect_samples)
        self._library.espeak_SetSynthCallback(self._callback)

    def synthesize(self, text: str, voice: str, speed: int, pitch: int, pitch_range: int) -> AudioSamples:
        self._samples = []
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ProviderError(ErrorKind.NOT_FOUND, f"offline: espeak-ng has no voice {voice}")
        for parameter, value in ((RATE, speed), (PITCH, pitch), (PITCH_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        spoken = text.encode() + b"\0"
        self._library.espeak_Synth(spoken, ctypes.c_size_t(len(spoken)), 0, 0, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._samples) if self._samples else np.zeros(0, np.float32)

    def _collect_samples(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            part = np.ctypeslib.as_array(samples, (count,)).astype(np.float32)
            self._samples.append(part / np.float32(32768))
        return 0


@cache
def _engine() -> _Engine:
    return _Engine()


def synthesize(text: str, voice: str, speed: int, pitch: int, pitch_range: int) -> tuple[AudioSamples, int]:
    """Samples from -1 to 1, and how many of them per second.

    `voice` is espeak-ng's name, such as `ru+f3`; `speed` is in words per minute; `pitch` and `liveliness`
    go from 0 to 99.
    """
    with _lock:
        engine = _engine()
        return engine.synthesize(text, voice, speed, pitch, pitch_range), engine.rate
