"""An Inngest client that sends nothing and records everything."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import inngest


@dataclass(frozen=True)
class CreatedFunction:
    """What a function was created from: its handler, and the arguments of `create_function`."""

    handler: Callable[[inngest.Context], Any]
    options: dict[str, Any]


CREATED_FUNCTIONS: WeakKeyDictionary[inngest.Function[Any], CreatedFunction] = WeakKeyDictionary()
"""The functions of all RecordingClients. The SDK's object does not give its handler away."""


class RecordingClient(inngest.Inngest):
    """`sent` holds every event in order. Set `refuse` to an error, and every send raises it until it is None again."""

    def __init__(self, app_id: str = "kit") -> None:
        super().__init__(app_id=app_id, is_production=False)
        self.sent: list[inngest.Event] = []
        self.refuse: Exception | None = None

    def create_function(self, **options: Any) -> Any:
        def decorate(handler: Callable[[inngest.Context], Any]) -> inngest.Function[Any]:
            function: inngest.Function[Any] = create(handler)
            CREATED_FUNCTIONS[function] = CreatedFunction(handler, options)
            return function

        create: Any = super().create_function(**options)
        return decorate

    async def send(
        self, events: inngest.Event | list[inngest.Event], *, skip_middleware: bool = False
    ) -> list[str]:
        batch = events if isinstance(events, list) else [events]
        if self.refuse is not None:
            raise self.refuse
        first = len(self.sent)
        self.sent += batch
        return [event.id or f"event-{first + number}" for number, event in enumerate(batch)]

    def events_named(self, name: str) -> list[inngest.Event]:
        """The sent events with that name."""
        return [event for event in self.sent if event.name == name]
