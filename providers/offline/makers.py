"""Which media the offline provider can make: one entry, and one module, for each kind."""

from collections.abc import Mapping
from typing import Any, Protocol

from providers.offline.image import ImageMaker
from providers.offline.records import Record
from providers.protocols import Kind


class Maker(Protocol):
    """Makes one kind of media; everything it does follows from the record and the files alone."""

    def check(self, given: Mapping[str, Any]) -> None:
        """Raise ProviderError (BAD_INPUT) for an input that a real model would refuse too."""
        ...

    def count(self, given: Mapping[str, Any]) -> int:
        """How many outputs there will be."""
        ...

    def make(self, record: Record, files: Mapping[str, bytes], number: int) -> bytes:
        """The bytes of output `number`. Runs in a thread."""
        ...


MAKERS: dict[Kind, Maker] = {"image": ImageMaker()}
