"""The sky: gradient, sun or moon with its glow, clouds, stars, aurora."""

from dataclasses import dataclass

import numpy as np

from sandbox.providers.scenery.canvas import Canvas, blend, parse_color
from sandbox.providers.scenery.noise import Array, resize, sample, smooth_heights, smoothstep
from sandbox.providers.scenery.palette import Palette

_GRADIENT_STOPS = (0.0, 0.42, 0.8, 1.0)


@dataclass(frozen=True)
class LightSource:
    """The sun or the moon: its place and radius in pixels."""

    x: float
    y: float
    radius: float
    moon: bool


def place_light(canvas: Canvas, horizon: int, hour: str) -> LightSource:
    """High at noon and at night, near the horizon at dawn and sunset."""
    rng, short = canvas.rng, min(canvas.width, canvas.height)
    x = canvas.width * float(rng.choice([rng.uniform(0.22, 0.42), rng.uniform(0.58, 0.78)]))
    if hour == "night":
        return LightSource(
            x, horizon * float(rng.uniform(0.2, 0.42)), short * float(rng.uniform(0.03, 0.05)), True
        )
    if hour == "day":
        return LightSource(x, horizon * float(rng.uniform(0.16, 0.34)), short * 0.026, False)
    low = {"fog": 0.55, "dusk": 1.02, "dawn": 0.74}.get(hour, 0.78)
    return LightSource(
        x, horizon * (low + float(rng.uniform(-0.06, 0.06))), short * float(rng.uniform(0.035, 0.06)), False
    )


def paint_sky(canvas: Canvas, palette: Palette, light: LightSource, horizon: int, clouds: float) -> None:
    """Everything behind the land. `clouds` is how much of the sky they may cover, 0 to 1."""
    width, height = canvas.width // 2, canvas.height // 2
    rows = np.arange(height, dtype=np.float32) * 2 / max(horizon, 1)
    gradient = np.stack(
        [
            smooth_heights(
                np.interp(rows, _GRADIENT_STOPS, [shade[part] for shade in palette.sky]).astype(np.float32), 60
            )
            for part in range(3)
        ],
        axis=-1,
    )
    small = Canvas(width, height, canvas.rng, canvas.grain)
    small.rgb = np.repeat(gradient[:, None, :], width, axis=1)
    glow = _glow(small, light, horizon / 2)
    strength = 0.42 if light.moon else 0.95
    small.add_light(0, glow * strength, palette.light)
    if clouds > 0:
        _clouds(small, palette, light, horizon / 2, clouds, glow)
    canvas.rgb = np.stack([resize(small.rgb[..., part], canvas.width, canvas.height) for part in range(3)], -1)


def paint_light(canvas: Canvas, palette: Palette, light: LightSource) -> None:
    """The disc of the sun or moon."""
    reach = int(light.radius * 1.3) + 2
    top, left = int(light.y) - reach, int(light.x) - reach
    if top < 0 or left < 0 or left + 2 * reach >= canvas.width or top + 2 * reach >= canvas.height:
        return
    across = np.arange(left, left + 2 * reach) - light.x
    down = np.arange(top, top + 2 * reach) - light.y
    distance = np.hypot(across[None, :], down[:, None]).astype(np.float32)
    disc = np.clip(light.radius - distance + 0.7, 0, 1)
    shade: Array = palette.light
    if light.moon:
        spots = smoothstep(0.2, 1.6, sample(canvas.grain, *np.meshgrid(across / 160 + 9, down / 160)))
        shade = palette.light * (1 - 0.2 * spots[..., None])
    part = canvas.rgb[top : top + 2 * reach, left : left + 2 * reach]
    part += disc[..., None] * (shade - part)


def _glow(canvas: Canvas, light: LightSource, horizon: float) -> Array:
    across = (np.arange(canvas.width, dtype=np.float32) - light.x / 2) / canvas.height
    down = (np.arange(canvas.height, dtype=np.float32) - light.y / 2) / canvas.height
    distance = np.hypot(across[None, :], down[:, None])
    band = np.exp(-np.abs(np.arange(canvas.height) - horizon) / canvas.height * 9)[:, None]
    spread = np.exp(-((across / 0.75) ** 2))[None, :]
    glow: Array = 0.55 * np.exp(-distance * 9) + 0.38 * np.exp(-distance * 3.2)
    glow = glow + (0 if light.moon else 0.35) * band * spread
    return np.clip(glow, 0, 1).astype(np.float32)


def _clouds(
    canvas: Canvas, palette: Palette, light: LightSource, horizon: float, amount: float, glow: Array
) -> None:
    """Clouds on a flat ceiling, so that they draw together towards the horizon."""
    rng, grain = canvas.rng, canvas.grain
    last = int(horizon)
    depth = 0.34 / ((horizon - np.arange(last, dtype=np.float32)) / horizon + 0.14)
    across = (np.arange(canvas.width, dtype=np.float32) - canvas.width / 2) / canvas.height
    away, side = float(rng.uniform(0, 9)), float(rng.uniform(0, 9))
    x = side + across[None, :] * depth[:, None] * 0.30 + 20
    y = np.broadcast_to((away + depth * 0.42)[:, None], x.shape)
    thick = sample(grain, x, y) + 0.42 * sample(grain, x * 3.1, y * 3.1)
    aside = 0.012 if light.x / 2 > canvas.width / 2 else -0.012
    behind = sample(grain, x + aside, y - 0.02)
    cover = smoothstep(1.25 - 1.9 * amount, 2.5 - 1.3 * amount, thick)
    fade = np.clip((horizon - np.arange(last)) / (0.07 * horizon), 0, 1) ** 0.7
    alpha = cover * fade[:, None].astype(np.float32) * 0.92
    lit = np.clip(0.52 + 0.3 * (thick - behind) + 0.9 * (glow[:last] - 0.25), 0, 1)[..., None]
    bright = blend(palette.light, palette.sky[3], 0.45)
    canvas.blend_over(0, alpha, palette.cloud + lit * (bright - palette.cloud))


def paint_stars(canvas: Canvas, horizon: int, light: LightSource, *, many: bool) -> None:
    """Stars of very different brightness, and the Milky Way where `many`."""
    rng, width = canvas.rng, canvas.width
    count = int((2600 if many else 900) * width * horizon / 1e6)
    x, y = rng.random(count) * width, rng.random(count) ** 1.25 * horizon
    size = rng.random(count) ** 11 + 0.24
    if many:
        lean, middle = float(rng.uniform(-0.7, 0.7)), float(rng.uniform(0.3, 0.7)) * width
        _milky_way(canvas, horizon, middle, lean)
        packed = count // 2
        x[:packed] = middle + lean * (y[:packed] - horizon / 2) + rng.normal(0, width * 0.07, packed)
        size[:packed] *= 0.6
    fade = np.clip((horizon - y) / (horizon * 0.5), 0, 1) * np.clip(
        np.hypot(x - light.x, y - light.y) / (light.radius * 6) - 0.25, 0, 1
    )
    warm = rng.random((count, 1), np.float32)
    shades = (1 - warm) * parse_color("bcd4ff") + warm * parse_color("fff0d8")
    for number in range(count):
        _star(canvas, int(x[number]), int(y[number]), float(size[number] * fade[number]), shades[number])


def _star(canvas: Canvas, x: int, y: int, bright: float, shade: Array) -> None:
    if not (2 <= x < canvas.width - 2 and 2 <= y < canvas.height - 2) or bright < 0.04:
        return
    canvas.rgb[y, x] += shade * bright * 1.4
    if bright > 0.3:
        canvas.rgb[y - 1 : y + 2, x] += shade * bright * 0.35
        canvas.rgb[y, x - 1 : x + 2] += shade * bright * 0.35
    if bright > 0.6:
        canvas.rgb[y - 2 : y + 3, x] += shade * bright * 0.12
        canvas.rgb[y, x - 2 : x + 3] += shade * bright * 0.12


def _milky_way(canvas: Canvas, horizon: int, middle: float, lean: float) -> None:
    width, height = canvas.width // 4, horizon // 4
    across = np.arange(width, dtype=np.float32)[None, :] * 4
    down = np.arange(height, dtype=np.float32)[:, None] * 4
    away = (across - middle - lean * (down - horizon / 2)) / (canvas.width * 0.11)
    cloud = sample(canvas.grain, across / 1400 + 3, down / 1400 + 5 + 0 * across)
    light = np.exp(-(away**2)) * np.clip(0.55 + 0.3 * cloud, 0, 1.4)
    lane = np.exp(-((away * 2.4 + 0.3 * cloud) ** 2)) * smoothstep(0.0, 1.2, cloud + 0.4)
    fade = np.clip((horizon - down) / (horizon * 0.5), 0, 1)
    glow = resize((light * (1 - 0.65 * lane) * fade * 0.3).astype(np.float32), canvas.width, horizon)
    canvas.add_light(0, np.clip(glow, 0, 1), parse_color("c9c4e8"))


def paint_aurora(canvas: Canvas, horizon: int) -> None:
    """Curtains of light: a sharp lower edge, green below and violet above."""
    rng = canvas.rng
    width, height = canvas.width // 2, horizon // 2
    across = np.linspace(0, 1, width, dtype=np.float32)
    down = np.arange(height, dtype=np.float32)[:, None]
    green, violet = parse_color("38f5a0"), parse_color("9a4be8")
    for _ in range(3):
        foot = height * float(rng.uniform(0.5, 0.86)) + height * 0.1 * (
            np.sin(across * rng.uniform(3, 7) + rng.uniform(0, 6))
            + 0.5 * np.sin(across * rng.uniform(9, 16) + rng.uniform(0, 6))
        )
        tall = height * float(rng.uniform(0.3, 0.5)) * (0.8 + 0.4 * np.sin(across * 5 + rng.uniform(0, 6)))
        rays = sample(canvas.grain, across * 0.8 + rng.random(), np.full(width, rng.random(), np.float32))
        fine = sample(canvas.grain, across * 5 + rng.random(), np.full(width, rng.random(), np.float32))
        strong = np.clip(0.5 + 0.3 * smooth_heights(rays, 5) + 0.12 * fine, 0.03, 1.2)
        above = (foot[None, :] - down) / tall[None, :]
        light = np.exp(np.where(above < 0, above * 14, -above * 2.1)) * strong[None, :]
        light = resize((light * 0.6).astype(np.float32), canvas.width, horizon)
        share = resize(np.clip(above * 0.95, 0, 1).astype(np.float32), canvas.width, horizon)
        canvas.add_light(0, np.clip(light, 0, 0.95), green + share[..., None] * (violet - green))
