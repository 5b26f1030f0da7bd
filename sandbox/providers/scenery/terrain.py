"""Mountains, hills and dunes: lines of heights, one before another, each hazier than the next."""

from dataclasses import dataclass

import numpy as np

from sandbox.providers.scenery.canvas import Canvas, blend
from sandbox.providers.scenery.noise import Array, ridge_line, sample, smooth_heights, smoothstep
from sandbox.providers.scenery.palette import Palette
from sandbox.providers.scenery.sky import LightSource


@dataclass(frozen=True)
class TerrainStyle:
    """How a range of land is drawn."""

    shade: Array
    """The land's own colour in the light."""
    relief: float = 0.5
    """How strongly the side away from the light is darker."""
    wiggle: float = 1.0
    """How ragged the line between light and shadow is."""
    snow: float = 0.0
    """How far down the snow comes, as a part of the height of the range."""
    mist: float = 0.75
    """How much haze lies at its foot."""
    texture: float = 0.12
    soft: bool = False
    """Hills and dunes: broad light, and crests that run slantwise down."""
    bright: float = 0.0
    """How much of its colour it keeps at night: snow keeps most."""


def ridge_heights(
    canvas: Canvas, crest: float, tall: float, waves: float, roughness: float, *, smooth: bool
) -> Array:
    """The row of the upper edge at every column; `crest` is the row of its highest point."""
    bumps = ridge_line(canvas.rng, canvas.width, waves * canvas.width / 1024, roughness, smooth=smooth)
    return (crest + tall * (1 - bumps)).astype(np.float32)


def paint_ridge(
    canvas: Canvas,
    palette: Palette,
    light: LightSource,
    edge: Array,
    bottom: int,
    depth: float,
    look: TerrainStyle,
    *,
    trees: Array | None = None,
) -> None:
    """Fill from `edge` (or from the tips of `trees` on it) down to the row `bottom`.

    `depth` is 0 far away and 1 near.
    """
    slope = edge
    edge = edge if trees is None else trees
    top = max(0, int(edge.min()) - 1)
    bottom = min(bottom, canvas.height)
    if bottom - top < 2:
        return
    rows = np.arange(top, bottom, dtype=np.float32)[:, None]
    below = rows - edge[None, :]
    cover = np.clip(below + 0.5, 0, 1)
    span = max(1.0, float(bottom - edge.min()))
    lit = _relief(canvas, light, slope, below, look)
    own = blend(look.shade, palette.near, palette.dark * (1 - look.bright))
    near = blend(palette.haze, own, 0.18 + 0.82 * depth)
    dark = blend(near, blend(palette.near, palette.sky[0], 0.3), (0.25 + 0.45 * depth) * (1 - 0.6 * look.bright))
    sunlight = blend(palette.light, palette.sky[2], 0.8 if light.moon else 0.15)
    bright = near + (sunlight - near) * np.float32(0.36 * (1 - 0.5 * palette.dark))
    shade: Array = dark + lit[..., None] * (bright - dark)
    if look.snow > 0:
        shade = _add_snow(canvas, palette, shade, below, lit, span * look.snow, depth)
    foot = np.clip((rows - edge.mean()) / max(1.0, bottom - float(edge.mean())), 0, 1)
    mist = (look.mist * (1 - 0.6 * depth) * foot**1.4)[..., None]
    shade += mist * (blend(palette.haze, palette.sky[3], 0.35) - shade)
    canvas.blend_over(top, cover, shade)


def _relief(canvas: Canvas, light: LightSource, edge: Array, below: Array, look: TerrainStyle) -> Array:
    """0 in shadow, 1 in the light: by the slope of the edge above, carried down along ragged lines."""
    width = canvas.width
    columns = np.arange(width, dtype=np.float32)
    fine, broad = (16, 7) if look.soft else (90, 22)
    slope = np.gradient(smooth_heights(edge, max(3, width // fine))) + 0.7 * np.gradient(
        smooth_heights(edge, max(9, width // broad))
    )
    facing = np.tanh((columns - light.x) / (0.16 * width))
    slope = slope / max(float(slope.std()), 0.02)
    bright = np.clip(0.5 - 0.42 * slope * facing, 0, 1).astype(np.float32)
    down = np.maximum(below, 0)
    ragged = sample(canvas.grain, (columns / 900)[None, :] + 0 * down, down / 620 + float(canvas.rng.random()))
    aside = columns[None, :] + look.wiggle * ragged * np.minimum(down, 160) * 0.3
    if look.soft:
        aside += 0.7 * down * (1 if light.x < width / 2 else -1)
    lit: Array = bright[np.clip(aside, 0, width - 1).astype(np.int32)]
    # Deep below the edge, its slope says little.
    lit = 0.5 + (lit - 0.5) * np.exp(-down / (0.22 * canvas.height))
    lit = 1 - look.relief * (1 - lit) + look.texture * ragged
    return np.clip(lit, 0, 1.2)


def _add_snow(
    canvas: Canvas, palette: Palette, shade: Array, below: Array, lit: Array, reach: float, depth: float
) -> Array:
    columns = np.arange(canvas.width, dtype=np.float32)[None, :] / 300
    ragged = sample(canvas.grain, columns + 0 * below, np.maximum(below, 0) / 420)
    snow = smoothstep(-0.25, 0.35, 1 - np.maximum(below, 0) / reach + 0.45 * ragged)
    white = blend(palette.light, palette.haze, 0.45 - 0.3 * depth) * np.float32(1 - 0.35 * palette.dark)
    blue = blend(palette.sky[1], white, 0.35)
    covered = blue + np.clip(lit * 1.25 - 0.2, 0, 1)[..., None] * (white - blue)
    result: Array = shade + snow[..., None] * (covered - shade)
    return result
