"""Large shapes in a small picture: patches of one colour, where they lie and what they look like."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MIN_AREA = 0.045
"""The least part of a picture that counts as a shape."""


@dataclass(frozen=True)
class Shape:
    """A connected patch: which colour of the palette, and how much of the picture it covers (0 to 1)."""

    colour: int
    area: float
    left: float
    top: float
    right: float
    bottom: float
    """Its box, as parts of the picture's sides."""

    @property
    def position(self) -> str:
        across = _by_third((self.left + self.right) / 2, "on the left", "", "on the right")
        down = _by_third((self.top + self.bottom) / 2, "at the top", "", "at the bottom")
        if not across and not down:
            return "in the centre"
        return " ".join(part for part in (down, across) if part)

    def describe_form(self, aspect: float) -> str:
        """A band, a background, or a shape by how far it fills its box; `aspect` is the picture's own."""
        wide, high = self.right - self.left, self.bottom - self.top
        if wide > 0.9 and high > 0.9:
            return "background"
        if wide > 0.9 and high < 0.7:
            return "horizontal band"
        if high > 0.9 and wide < 0.45:
            return "vertical band"
        filled = self.area / max(wide * high, 1e-6)
        if filled > 0.9:
            return "rectangular shape"
        if filled > 0.7 and 0.75 < aspect * wide / max(high, 1e-6) < 1.33:
            return "round shape"
        return "triangular shape" if 0.42 < filled < 0.58 else "irregular shape"


def find_shapes(labels: npt.NDArray[Any]) -> list[Shape]:
    """The connected patches of equal labels, largest first."""
    height, width = labels.shape
    seen = np.zeros(labels.shape, bool)
    found = []
    for row in range(height):
        for column in range(width):
            if seen[row, column]:
                continue
            places = _flood_fill(labels, seen, row, column)
            if len(places) >= MIN_AREA * labels.size:
                found.append(_build_shape(int(labels[row, column]), places, height, width))
    return sorted(found, key=lambda shape: -shape.area)


def _flood_fill(labels: npt.NDArray[Any], seen: npt.NDArray[Any], row: int, column: int) -> list[tuple[int, int]]:
    label, waiting, places = labels[row, column], [(row, column)], []
    seen[row, column] = True
    while waiting:
        y, x = waiting.pop()
        places.append((y, x))
        for down, across in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= down < labels.shape[0] and 0 <= across < labels.shape[1]
            if inside and not seen[down, across] and labels[down, across] == label:
                seen[down, across] = True
                waiting.append((down, across))
    return places


def _build_shape(colour: int, places: list[tuple[int, int]], height: int, width: int) -> Shape:
    rows, columns = zip(*places, strict=True)
    return Shape(
        colour,
        len(places) / (height * width),
        min(columns) / width,
        min(rows) / height,
        (max(columns) + 1) / width,
        (max(rows) + 1) / height,
    )


def _by_third(place: float, first: str, middle: str, last: str) -> str:
    if place < 0.36:
        return first
    return last if place > 0.64 else middle
