"""Counts and times the calls to a provider."""

import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from providers.protocols import Prediction, ProviderError

CallRecorder = Callable[[str, str, str, float], None]
"""Called with the provider's name, the method, the kind of error (empty on success) and the duration in seconds."""

P = TypeVar("P")


def instrumented(provider: P, recorder: CallRecorder) -> P:
    """Wrap a provider so that its calls are recorded.

    A failed prediction counts as an error of the call that reported it.

    Args:
        provider: Any provider. All of its async methods except `close` are recorded.
        recorder: Called after each call.
    """
    return cast("P", _Instrumented(provider, recorder))


class _Instrumented:
    def __init__(self, provider: Any, recorder: CallRecorder) -> None:
        self._provider = provider
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._provider, name)
        if name == "close" or not inspect.iscoroutinefunction(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            started, error = time.perf_counter(), ""
            try:
                answer = await value(*args, **kwargs)
                if isinstance(answer, Prediction):
                    error = answer.error or ""
            except ProviderError as failure:
                error = failure.kind
                raise
            except Exception:
                error = "unexpected"
                raise
            finally:
                self._recorder(self._provider.name, name, error, time.perf_counter() - started)
            return answer

        setattr(self, name, call)
        return call
