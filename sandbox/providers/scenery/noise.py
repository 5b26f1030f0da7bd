"""Seeded noise: the grain of which skies, ridges and waves are made."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.floating[Any]]
Rng = np.random.Generator

_TILE = 512


def fractal(rng: Rng, roughness: float = 1.7, size: int = _TILE) -> Array:
    """A square tile that repeats without a seam; mean 0, deviation 1. Lower roughness is rougher."""
    across = np.fft.rfftfreq(size, 1 / size).astype(np.float32)
    down = np.fft.fftfreq(size, 1 / size).astype(np.float32)
    frequency = np.hypot(across[None, :], down[:, None])
    frequency[0, 0] = 1
    shape = frequency.shape
    spectrum = rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32)
    spectrum *= frequency**-roughness
    spectrum[0, 0] = 0
    tile = np.fft.irfft2(spectrum, s=(size, size)).astype(np.float32)
    tile /= tile.std()
    return tile


def sample(tile: Array, across: Array, down: Array) -> Array:
    """The tile at any place, in tile widths, repeated for ever; between cells the nearest is taken."""
    size = tile.shape[0]
    column = (across * size).astype(np.int32) & (size - 1)
    row = (down * size).astype(np.int32) & (size - 1)
    found: Array = tile[row, column]
    return found


def ridge_line(rng: Rng, width: int, waves: float, roughness: float, *, smooth: bool, octaves: int = 7) -> Array:
    """A line of heights from 0 to 1: `waves` large bumps, each octave `roughness` as high as the last."""
    at = np.linspace(0, 1, width, dtype=np.float32)
    heights = np.zeros(width, np.float32)
    for octave in range(octaves):
        knots = max(2, int(waves * 2**octave)) + 1
        if knots > width:
            break
        values = rng.random(knots + 1, np.float32)
        place = at * (knots - 1) + rng.random() * 0.999
        left = place.astype(np.int32)
        part = place - left
        if smooth:
            part = part * part * (3 - 2 * part)
        heights += roughness**octave * (values[left] * (1 - part) + values[left + 1] * part)
    heights -= heights.min()
    heights /= max(float(heights.max()), 1e-6)
    return heights


def smooth_heights(heights: Array, window: int) -> Array:
    """A moving average over `window` points, as long as what was given."""
    if window < 2:
        return heights
    padded = np.pad(heights, window, mode="edge")
    sums = np.cumsum(padded, dtype=np.float64)
    averages = (sums[window:] - sums[:-window]) / window
    start = window // 2
    return averages[start : start + heights.size].astype(np.float32)


def resize(channel: Array, width: int, height: int) -> Array:
    """A one-channel image at another size."""
    image = Image.fromarray(channel).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def smoothstep(low: float, high: float, value: Array) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    part: Array = np.clip((value - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)
