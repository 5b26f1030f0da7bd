"""Somewhere in space: nebulae, stars, a planet with its shadow side, rings and moons."""

import numpy as np

from sandbox.providers.scenery.canvas import Canvas, blend, parse_color, shift_hue
from sandbox.providers.scenery.noise import Array, resize, sample, smoothstep
from sandbox.providers.scenery.sky import LightSource, paint_stars

_NEBULAE = (
    ("1a0b3a", "8a2f9e", "ff6fae", "2ad1ff"),
    ("06122e", "1f5fae", "5ce1e6", "ff9f6b"),
    ("0a1a1c", "0f766e", "7ee8b0", "f6d365"),
    ("1c0a14", "a12b4a", "ff8a5c", "ffd9a0"),
    ("0b0b24", "4338ca", "c084fc", "f0abfc"),
)
_PLANETS = (
    ("d8a47f", "8c4a3a"),
    ("7fb4d8", "27507e"),
    ("e7cfa0", "a5713f"),
    ("9fd8c2", "2c6e69"),
    ("d9b3e6", "6a3f8f"),
)


def paint_space(canvas: Canvas, tint: float | None) -> Array:
    """Fill the canvas; returns the colour of the nearest dark, for what stands before it."""
    rng = canvas.rng
    dark, middle, bright, other = (parse_color(code) for code in _NEBULAE[int(rng.integers(len(_NEBULAE)))])
    if tint is not None:
        wash = shift_hue(np.array([1.0, 0.3, 0.3], np.float32), tint)
        middle, bright = blend(middle, wash, 0.6), blend(bright, wash, 0.5)
    _nebula(canvas, dark * np.float32(0.35), middle, bright, other)
    light = LightSource(-canvas.width * 0.4, -canvas.height * 0.3, 1, moon=False)
    paint_stars(canvas, canvas.height * 2, light, many=False)
    short = min(canvas.width, canvas.height)
    x = canvas.width * float(rng.choice([rng.uniform(0.25, 0.4), rng.uniform(0.6, 0.75)]))
    y = canvas.height * float(rng.uniform(0.32, 0.6))
    radius = short * float(rng.uniform(0.16, 0.3))
    ringed = bool(rng.random() < 0.55)
    turn = float(rng.uniform(-0.5, 0.5))
    if ringed:
        _rings(canvas, x, y, radius, turn, bright, front=False)
    _planet(canvas, x, y, radius, turn)
    if ringed:
        _rings(canvas, x, y, radius, turn, bright, front=True)
    for _ in range(int(rng.integers(1, 3))):
        away = radius * float(rng.uniform(1.7, 2.4))
        where = float(rng.uniform(0, 6.28))
        _planet(
            canvas,
            x + away * np.cos(where),
            y + away * np.sin(where) * 0.7,
            radius * float(rng.uniform(0.07, 0.16)),
            0,
        )
    return dark


def _nebula(canvas: Canvas, dark: Array, middle: Array, bright: Array, other: Array) -> None:
    rng = canvas.rng
    width, height = canvas.width // 2, canvas.height // 2
    scale = max(width, height) * 1.5
    across = np.arange(width, dtype=np.float32)[None, :] / scale + float(rng.random()) + 4
    down = np.arange(height, dtype=np.float32)[:, None] / scale + float(rng.random()) + 4
    across, down = np.broadcast_arrays(across, down)
    bend = 0.05 * sample(canvas.grain, across * 0.7, down * 0.7)
    one = sample(canvas.grain, across + bend, down - bend)
    two = sample(canvas.grain, across * 1.6 + 3.3 - bend, down * 1.6 + bend)
    lean = float(rng.uniform(-0.8, 0.8))
    grid_x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    grid_y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    band = np.exp(-(((grid_y + lean * grid_x) / 0.75) ** 2))
    thick = smoothstep(-0.7, 2.4, one + 0.9 * band) * (0.35 + 0.65 * band)
    core = smoothstep(0.9, 2.8, one + 0.5 * two + 0.8 * band)
    veil = smoothstep(0.5, 2.4, two) * band * 0.5
    rgb = dark + thick[..., None] * (middle - dark)
    rgb += core[..., None] * (bright - rgb) * 0.85
    rgb += veil[..., None] * (other - rgb) * 0.7
    canvas.rgb = np.stack(
        [resize(np.ascontiguousarray(rgb[..., part]), canvas.width, canvas.height) for part in range(3)], -1
    )


def _planet(canvas: Canvas, x: float, y: float, radius: float, turn: float) -> None:
    rng = canvas.rng
    left, right = max(0, int(x - radius * 1.3)), min(canvas.width, int(x + radius * 1.3) + 1)
    top, bottom = max(0, int(y - radius * 1.3)), min(canvas.height, int(y + radius * 1.3) + 1)
    if right <= left or bottom <= top:
        return
    across = (np.arange(left, right, dtype=np.float32)[None, :] - x) / radius
    down = (np.arange(top, bottom, dtype=np.float32)[:, None] - y) / radius
    square = across**2 + down**2
    height = np.sqrt(np.clip(1 - square, 0, 1))
    light = np.clip(-0.62 * across - 0.42 * down + 0.66 * height, 0, 1)
    tilted = down * np.cos(turn) - across * np.sin(turn)
    swirl = sample(canvas.grain, across * 0.16 + 3 + 0 * down, tilted * 0.24 + 3)
    bands = np.sin(tilted * float(rng.uniform(7, 13)) + swirl * 0.9)
    bright, shadow = (parse_color(code) for code in _PLANETS[int(rng.integers(len(_PLANETS)))])
    part = 0.5 + 0.28 * bands + 0.2 * swirl
    shade = shadow + np.clip(part, 0, 1)[..., None] * (bright - shadow)
    shade = shade * (0.03 + 1.1 * light**0.9)[..., None]
    disc = np.clip((1 - np.sqrt(square)) * radius + 0.5, 0, 1)
    rows = canvas.rgb[top:bottom, left:right]
    rim = np.exp(-np.clip(np.sqrt(square) - 1, 0, 1) * 11) * np.clip(0.35 - 0.5 * across - 0.4 * down, 0, 1) * 0.5
    rows += (rim * (1 - disc))[..., None] * (bright - rows)
    rows += disc[..., None] * (np.clip(shade, 0, 1) - rows)


def _rings(canvas: Canvas, x: float, y: float, radius: float, turn: float, shade: Array, *, front: bool) -> None:
    across = (np.arange(canvas.width, dtype=np.float32)[None, :] - x) / radius
    down = (np.arange(canvas.height, dtype=np.float32)[:, None] - y) / radius
    along = across * np.cos(turn) + down * np.sin(turn)
    over = (down * np.cos(turn) - across * np.sin(turn)) / 0.26
    distance = np.sqrt(along**2 + over**2)
    inside = smoothstep(1.32, 1.38, distance) * (1 - smoothstep(2.05, 2.15, distance))
    gaps = 0.55 + 0.45 * np.sin(distance * 38) * np.sin(distance * 17)
    half = (over > 0) if front else (over <= 0)
    shadow = np.where((along > 0.2) & (np.abs(over) < 1.9) & ~half, 0.35, 1.0) if not front else 1.0
    alpha = (inside * gaps * half * 0.75 * shadow).astype(np.float32)
    canvas.blend_over(0, alpha, blend(shade, parse_color("fff4e0"), 0.55))
