"""Still and moving water: what is above it, mirrored and broken by ripples."""

import numpy as np

from sandbox.providers.scenery.canvas import Canvas, blend
from sandbox.providers.scenery.noise import Array, sample, smoothstep
from sandbox.providers.scenery.palette import Palette
from sandbox.providers.scenery.sky import LightSource


def paint_water(
    canvas: Canvas, palette: Palette, light: LightSource, shore: int, *, waves: float, own: Array | None = None
) -> None:
    """Fill the rows from `shore` down. `waves` is 0 for a mirror and 1 for the open sea."""
    count = canvas.height - shore
    if count < 4:
        return
    down = np.arange(count, dtype=np.float32)[:, None]
    near = down / count
    columns = np.arange(canvas.width, dtype=np.float32)[None, :]
    ripples = _ripples(canvas, columns, near)
    mirror = min(1.0, shore / count * 0.98)
    source = shore - 1 - down * mirror + ripples * (1.5 + near * 34) * (0.25 + waves)
    aside = columns + ripples * (0.6 + near * 9) * (0.2 + 0.5 * waves)
    row = np.clip(source, 0, shore - 1).astype(np.int32)
    column = np.clip(aside, 0, canvas.width - 1).astype(np.int32)
    water = canvas.rgb[row, column]
    deep = blend(palette.near, palette.sky[0], 0.55) if own is None else blend(own, palette.near, palette.dark)
    depth = (0.14 + (0.34 + 0.16 * waves) * near**0.8)[..., None]
    water += depth * (deep - water)
    water *= (1 + 0.1 * (0.3 + waves) * ripples)[..., None]
    canvas.rgb[shore:] = np.clip(water, 0, 1)
    _glitter(canvas, palette, light, shore, ripples, near, columns)
    edge = np.exp(-down / 3.0) * 0.25 + 0 * columns
    canvas.blend_over(shore, edge.astype(np.float32), palette.sky[3])


def _ripples(canvas: Canvas, columns: Array, near: Array) -> Array:
    """Waves that lie closer together far away; mean 0, deviation about 1."""
    far = 1.0 / (near + 0.045)
    across = (columns / canvas.width - 0.5) * far * 0.10 + 7 + float(canvas.rng.random())
    away = far * 0.62 + float(canvas.rng.random())
    long = sample(canvas.grain, across, away + 0 * across)
    short = sample(canvas.grain, across * 3.3, away * 2.7 + 0 * across)
    return 0.7 * long + 0.4 * short


def _glitter(
    canvas: Canvas, palette: Palette, light: LightSource, shore: int, ripples: Array, near: Array, columns: Array
) -> None:
    x, y = int(np.clip(light.x, 0, canvas.width - 1)), int(max(light.y, 0))
    if y >= shore or canvas.rgb[y, x].mean() < 0.72 * palette.light.mean():
        return  # below the horizon, or behind a mountain
    wide = canvas.width * (0.035 + 0.10 * near)
    path = np.exp(-(((columns - light.x) / wide) ** 2))
    sparks = smoothstep(0.35, 1.3, ripples) * path * (0.9 - 0.45 * near)
    canvas.add_light(shore, np.clip(sparks * (0.6 if light.moon else 0.9), 0, 1).astype(np.float32), palette.light)
