"""The colours of the hours."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sandbox.providers.scenery.canvas import blend, parse_color, shift_hue
from sandbox.providers.scenery.noise import Array, Rng

Hour = Literal["dawn", "day", "sunset", "dusk", "night", "fog"]


@dataclass(frozen=True)
class Palette:
    """Sky from zenith to horizon, the light, what distance fades into, and the nearest land."""

    sky: tuple[Array, Array, Array, Array]
    light: Array
    near: Array
    cloud: Array
    """The shadow side of clouds."""
    dark: float
    """0 at noon, 1 at night: how far land loses its own colour."""

    @property
    def haze(self) -> Array:
        return blend(self.sky[3], self.sky[1], 0.35)


def _palette(sky: str, light: str, near: str, cloud: str, dark: float) -> Palette:
    top, middle, low, horizon = (parse_color(code) for code in sky.split())
    return Palette((top, middle, low, horizon), parse_color(light), parse_color(near), parse_color(cloud), dark)


_PALETTES: dict[Hour, tuple[Palette, ...]] = {
    "dawn": (
        _palette("3b5b92 8fa8d0 f0c3c4 fde0c4", "fff0d2", "26304d", "9a93b8", 0.45),
        _palette("4d5596 a994c6 f3b5b1 ffdcb0", "ffe9c4", "2d2a4a", "9484b4", 0.45),
        _palette("4f86a6 a3c4cc f6dcc4 ffeed0", "fff6e0", "24404a", "a4b3bd", 0.4),
    ),
    "day": (
        _palette("2a6fc2 5fa4e2 a8d3f0 e6f3f7", "fffbe8", "1c4438", "a9bdd0", 0.1),
        _palette("2f86b4 79bfd6 c3e5e4 f6f3e0", "fff8e0", "1e4c46", "a8c1c6", 0.1),
        _palette("4a83bf 97bcd6 ecdfc0 ffeabb", "fff0c0", "33492b", "b3b5bb", 0.2),
    ),
    "sunset": (
        _palette("28295f 83407e e46c5c ffc56e", "fff0b4", "1a1230", "5b3a6c", 0.62),
        _palette("23406f 8a5f92 f98a66 ffd98f", "fff2c4", "1c1a38", "5d557f", 0.58),
        _palette("43244a a43e54 f07c40 ffd470", "fff0b0", "1d0f1e", "6a3048", 0.65),
        _palette("1f4f6e 6f8fa0 f0b070 ffe39a", "fff6cc", "14262c", "5f7080", 0.5),
    ),
    "dusk": (
        _palette("0f1a46 393f88 9568a6 f2a68c", "ffd9b8", "0c1029", "34336a", 0.78),
        _palette("0f2444 2c5a7d 7a9fa6 f5c8a0", "ffe4c0", "0a1825", "2d4c66", 0.75),
        _palette("1d1240 4f2a70 b0508a f79a80", "ffd0b0", "120a24", "452a62", 0.78),
    ),
    "night": (
        _palette("040a20 0b1e48 1c3d70 4c7599", "f4f1de", "040914", "1b3156", 0.92),
        _palette("090822 211a4e 44367a 8069a2", "f6ecdc", "07050f", "2e285c", 0.92),
        _palette("03121e 073042 14535f 589a92", "eef6e4", "030d12", "123c48", 0.92),
    ),
    "fog": (
        _palette("8a9ea6 afbec0 d0d8d4 ecece4", "fffdf4", "2a3a3e", "a9b6b8", 0.4),
        _palette("a59c98 c6bbb0 e2d7c6 f6ecd8", "fff8e8", "3e3836", "b9aea6", 0.4),
    ),
}


def choose_palette(rng: Rng, hour: Hour, tint: float | None) -> Palette:
    """One of an hour's palettes, turned a little by the seed, and towards a hue where one was asked for."""
    choices = _PALETTES[hour]
    chosen = choices[int(rng.integers(len(choices)))]
    turn = float(rng.uniform(-0.018, 0.018))
    if tint is None:
        return _map_colors(chosen, lambda shade: shift_hue(shade, turn))
    wash = shift_hue(np.array([1.0, 0.25, 0.25], np.float32), tint)

    def washed(shade: Array) -> Array:
        brightness = float(shade.mean()) * 1.25
        return np.clip(blend(shade, wash * np.float32(brightness), 0.5), 0, 1)

    return _map_colors(chosen, washed)


def _map_colors(palette: Palette, change: Callable[[Array], Array]) -> Palette:
    top, middle, low, horizon = (change(shade) for shade in palette.sky)
    return replace(
        palette,
        sky=(top, middle, low, horizon),
        near=change(palette.near),
        cloud=change(palette.cloud),
    )
