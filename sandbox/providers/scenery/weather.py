"""What falls or hangs in the air before everything else, and the finish of the print."""

import numpy as np

from sandbox.providers.scenery.canvas import Canvas, Pen, ToPixels, blend, draw_silhouette, parse_color
from sandbox.providers.scenery.palette import Palette


def paint_snowfall(canvas: Canvas) -> None:
    """Flakes near and far."""
    rng = canvas.rng

    def draw(pen: Pen, at: ToPixels) -> None:
        for _ in range(int(700 * canvas.width * canvas.height / 1e6)):
            x, y = float(rng.uniform(0, canvas.width)), float(rng.uniform(0, canvas.height))
            size = 0.7 + 3.2 * float(rng.random()) ** 5
            pen.ellipse(at((x - size, y - size), (x + size, y + size)), fill=int(rng.uniform(90, 235)))

    canvas.blend_over(0, draw_silhouette(canvas, 0, canvas.height, draw), parse_color("fbfdff"))


def paint_rain(canvas: Canvas) -> None:
    """Slanting streaks."""
    rng = canvas.rng

    def draw(pen: Pen, at: ToPixels) -> None:
        for _ in range(int(650 * canvas.width * canvas.height / 1e6)):
            x, y = float(rng.uniform(-40, canvas.width)), float(rng.uniform(-40, canvas.height))
            long = float(rng.uniform(14, 46))
            pen.line(at((x, y), (x + long * 0.22, y + long)), fill=int(rng.uniform(25, 95)), width=2)

    canvas.blend_over(0, draw_silhouette(canvas, 0, canvas.height, draw), parse_color("e8f0f4"))


def paint_mist(canvas: Canvas, palette: Palette, row: int, thick: float, strong: float) -> None:
    """A bank of mist about a row."""
    away = (np.arange(canvas.height, dtype=np.float32) - row) / (canvas.height * thick)
    alpha = np.exp(-(away**2))[:, None] * strong
    drift = 0.75 + 0.25 * canvas.grain[row % canvas.grain.shape[0]]
    across = np.interp(np.linspace(0, 511, canvas.width), np.arange(512), drift).astype(np.float32)
    wide = 61
    across = np.convolve(np.pad(across, wide // 2, mode="edge"), np.ones(wide) / wide, "valid").astype(np.float32)
    alpha = np.clip(alpha * across[None, :], 0, 1).astype(np.float32)
    canvas.blend_over(0, alpha, blend(palette.haze, palette.sky[3], 0.5))


def apply_finish(canvas: Canvas) -> None:
    """Darker corners, and a little grain against banding."""
    across = np.linspace(-1, 1, canvas.width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, canvas.height, dtype=np.float32)[:, None]
    shade = 1 - 0.2 * np.clip((across**2 + down**2) / 2 - 0.12, 0, 1)
    canvas.rgb *= shade[..., None]
    tile = canvas.rng.normal(0, 0.006, (128, 128)).astype(np.float32)
    repeats = (-(-canvas.height // 128), -(-canvas.width // 128))
    canvas.rgb += np.tile(tile, repeats)[: canvas.height, : canvas.width, None]
