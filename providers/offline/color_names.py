"""Colours by their names."""

import colorsys

Color = tuple[float, float, float]
"""Red, green and blue from 0 to 255."""

_HUES = (
    (15, "red"),
    (42, "orange"),
    (68, "yellow"),
    (160, "green"),
    (195, "turquoise"),
    (255, "blue"),
    (290, "purple"),
    (335, "pink"),
    (361, "red"),
)


def color_name(shade: Color) -> str:
    """An English name such as `dark blue`, `beige` or `light grey`."""
    hue, light, saturation = colorsys.rgb_to_hls(*(part / 255 for part in shade))
    chroma = (max(shade) - min(shade)) / 255
    if light < 0.09:
        return "black"
    if light > 0.93 and chroma < 0.12:
        return "white"
    if chroma < 0.1 or saturation < 0.09:
        return _with_tone("grey", light, low=0.35, high=0.7)
    return _chromatic_name(hue * 360, light, chroma)


def _chromatic_name(degrees: float, light: float, chroma: float) -> str:
    if 12 <= degrees < 55 and light > 0.72 and chroma < 0.4:
        return "beige"
    if 10 <= degrees < 48 and (light < 0.42 or chroma < 0.3):
        return _with_tone("brown", light, low=0.2, high=0.6)
    name = next(name for upper, name in _HUES if degrees < upper)
    if name == "red" and light > 0.68:
        return "pink"
    return _with_tone(name, light, low=0.28, high=0.72)


def _with_tone(name: str, light: float, *, low: float, high: float) -> str:
    if light < low:
        return f"dark {name}"
    return f"light {name}" if light > high else name
