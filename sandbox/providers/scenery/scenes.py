"""One painter per subject, which combines the parts."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sandbox.providers.scenery import objects
from sandbox.providers.scenery.canvas import Canvas, blend, parse_color
from sandbox.providers.scenery.city import paint_city
from sandbox.providers.scenery.noise import Array
from sandbox.providers.scenery.palette import Palette, choose_palette
from sandbox.providers.scenery.sky import (
    LightSource,
    paint_aurora,
    paint_light,
    paint_sky,
    paint_stars,
    place_light,
)
from sandbox.providers.scenery.space import paint_space
from sandbox.providers.scenery.terrain import TerrainStyle, paint_ridge, ridge_heights
from sandbox.providers.scenery.theme import Subject, Theme
from sandbox.providers.scenery.trees import paint_flowers, paint_grass, paint_palms, paint_pines, tree_line
from sandbox.providers.scenery.water import paint_water
from sandbox.providers.scenery.weather import apply_finish, paint_mist, paint_rain, paint_snowfall

_ROCK_COLORS = ("6f7f94", "7d7a86", "8a7f78", "5f7a80")
_PINE_COLORS = ("2a6a48", "3a7a3c", "256458", "5f7a30")
_SAND_COLORS = ("f0ae5c", "e8954f", "f2c27c", "d9773a")


class Scene:
    """A canvas with its palette and light, and the row of the horizon."""

    def __init__(self, canvas: Canvas, theme: Theme, horizon: float) -> None:
        self.canvas = canvas
        self.theme = theme
        self.palette: Palette = choose_palette(canvas.rng, theme.hour, theme.tint)
        self.horizon = int(canvas.height * horizon)
        self.light: LightSource = place_light(canvas, self.horizon, theme.hour)
        self.unit = min(canvas.width, canvas.height)
        """The length that sizes are measured in: the short side."""

    def random_color(self, codes: tuple[str, ...]) -> Array:
        return parse_color(codes[int(self.canvas.rng.integers(len(codes)))])

    def uniform(self, low: float, high: float) -> float:
        return float(self.canvas.rng.uniform(low, high))

    def chance_of_birds(self) -> bool:
        return self.theme.hour in {"dawn", "sunset", "day"} and self.uniform(0, 1) < 0.3

    def sky(self, clouds: float | None = None) -> None:
        """Sky with what the theme hangs in it."""
        dark, extras = self.theme.hour == "night", self.theme.extras
        amount = self.uniform(0.25, 0.62) if clouds is None else clouds
        if "rain" in extras:
            amount = 0.95
        paint_sky(self.canvas, self.palette, self.light, self.horizon, amount * (0.55 if dark else 1))
        if dark or "stars" in extras or self.theme.hour == "dusk":
            paint_stars(self.canvas, self.horizon, self.light, many="stars" in extras)
        if "aurora" in extras or (dark and self.theme.subject == "winter" and self.uniform(0, 1) < 0.6):
            paint_aurora(self.canvas, self.horizon)
        if "rain" not in extras:
            paint_light(self.canvas, self.palette, self.light)

    def mountains(
        self, base: int, look: TerrainStyle, *, layers: int = 4, tall: float = 0.46, forest: bool = True
    ) -> Array:
        """Ranges from far to near, ending at the row `base`; returns the nearest edge."""
        edge = np.full(self.canvas.width, float(base), np.float32)
        for number in range(layers):
            depth = (number + 0.6) / layers
            size = self.horizon * tall * (1 - 0.62 * depth) * self.uniform(0.85, 1.15)
            crest = base - size - self.horizon * 0.05 * (1 - depth)
            edge = ridge_heights(
                self.canvas, crest, size * 0.95, self.uniform(1.6, 3.2) + depth * 2, 0.5, smooth=False
            )
            trees = None
            if forest and depth > 0.55:
                trees = tree_line(self.canvas, edge, self.unit * (0.014 + 0.022 * depth), 1.3)
            bare = look if depth <= 0.6 else replace(look, snow=0.0)
            paint_ridge(self.canvas, self.palette, self.light, edge, base + 2, depth * 0.92, bare, trees=trees)
        return edge

    def ground(self, crest: float, tall: float, shade: Array, waves: float = 1.2) -> Array:
        """The nearest land, down to the lower edge."""
        if self.theme.hour == "fog":
            paint_mist(self.canvas, self.palette, int(crest - tall * 0.5), 0.09, 0.5)
        edge = ridge_heights(self.canvas, crest, tall, waves, 0.45, smooth=True)
        look = TerrainStyle(shade, relief=0.5, wiggle=0.4, mist=0.0, texture=0.16, soft=True)
        paint_ridge(self.canvas, self.palette, self.light, edge, self.canvas.height, 1.0, look)
        return edge


def mountains(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, 0.8)
    scene.sky()
    snow = scene.uniform(0.1, 0.34)
    base = int(canvas.height * 0.93)
    scene.mountains(
        base, TerrainStyle(scene.random_color(_ROCK_COLORS), 0.8, 1.0, snow, mist=0.95), layers=5, tall=0.78
    )
    if "castle" in theme.extras:
        objects.paint_tower(canvas, scene.palette, canvas.height * 0.7, scene.unit * 0.17, castle=True)
    ground = scene.ground(canvas.height * 0.83, canvas.height * 0.1, scene.random_color(_PINE_COLORS))
    _paint_cabin(scene, ground)
    paint_pines(canvas, scene.palette, ground, scene.unit * 0.27, 34, 0.5)
    return scene


def lake(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, adjust_horizon(canvas, 0.58))
    scene.sky()
    scene.mountains(
        scene.horizon,
        TerrainStyle(scene.random_color(_ROCK_COLORS), 0.8, 1.0, scene.uniform(0.05, 0.3)),
        layers=4,
        tall=0.6,
    )
    paint_mist(canvas, scene.palette, scene.horizon - scene.unit // 50, 0.018, 0.4)
    paint_water(canvas, scene.palette, scene.light, scene.horizon, waves=0.12)
    if "boat" in theme.extras:
        objects.paint_boat(canvas, scene.palette, scene.horizon + scene.unit * 0.12, scene.unit * 0.1)
    bank = scene.ground(canvas.height * 0.91, canvas.height * 0.08, scene.random_color(_PINE_COLORS))
    _paint_cabin(scene, bank)
    paint_pines(canvas, scene.palette, bank, scene.unit * 0.36, 20, 0.68)
    paint_grass(canvas, scene.palette, bank, scene.unit * 0.03, 240)
    return scene


def sea(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, adjust_horizon(canvas, 0.56))
    scene.sky(scene.uniform(0.35, 0.7))
    if scene.uniform(0, 1) < 0.6 or "lighthouse" in theme.extras:
        tall = scene.unit * scene.uniform(0.04, 0.1)
        edge = ridge_heights(canvas, scene.horizon - tall, tall * 2.2, 1.3, 0.5, smooth=False)
        paint_ridge(
            canvas,
            scene.palette,
            scene.light,
            edge,
            scene.horizon + 1,
            0.45,
            TerrainStyle(scene.random_color(_ROCK_COLORS), 0.8),
        )
    if "lighthouse" in theme.extras or scene.uniform(0, 1) < 0.12:
        objects.paint_tower(canvas, scene.palette, scene.horizon, scene.unit * 0.2, castle=False)
    if "castle" in theme.extras:
        objects.paint_tower(canvas, scene.palette, scene.horizon, scene.unit * 0.22, castle=True)
    paint_water(canvas, scene.palette, scene.light, scene.horizon, waves=0.85, own=parse_color("17577a"))
    if "boat" in theme.extras or scene.uniform(0, 1) < 0.45:
        size = scene.unit * scene.uniform(0.05, 0.12)
        objects.paint_boat(canvas, scene.palette, scene.horizon + size * 0.5, size)
    return scene


def beach(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, adjust_horizon(canvas, 0.54))
    scene.sky(scene.uniform(0.35, 0.6))
    tall = scene.unit * scene.uniform(0.06, 0.13)
    edge = ridge_heights(canvas, scene.horizon - tall, tall * 2.0, 1.1, 0.42, smooth=True)
    paint_ridge(
        canvas, scene.palette, scene.light, edge, scene.horizon + 1, 0.4, TerrainStyle(parse_color("4d7d5a"), 0.7)
    )
    paint_water(canvas, scene.palette, scene.light, scene.horizon, waves=0.4, own=parse_color("2aa5a8"))
    if "boat" in theme.extras or scene.uniform(0, 1) < 0.4:
        objects.paint_boat(canvas, scene.palette, scene.horizon + scene.unit * 0.05, scene.unit * 0.08)
    sand = ridge_heights(canvas, canvas.height * 0.8, canvas.height * 0.12, 0.5, 0.3, smooth=True)
    _paint_surf(scene, sand)
    look = TerrainStyle(parse_color("f0d3a4"), relief=0.25, wiggle=0.2, mist=0.0, texture=0.08)
    paint_ridge(canvas, scene.palette, scene.light, sand, canvas.height, 0.75, look)
    paint_palms(canvas, scene.palette, canvas.height * 0.97, scene.unit * 0.62, scene.light.x > canvas.width / 2)
    return scene


def desert(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, adjust_horizon(canvas, 0.52))
    scene.sky(scene.uniform(0.0, 0.4))
    shade = scene.random_color(_SAND_COLORS)
    scene.palette = replace(
        scene.palette, near=blend(scene.palette.near, parse_color("7a3f22"), 0.55 - 0.4 * scene.palette.dark)
    )
    far = scene.unit * scene.uniform(0.05, 0.12)
    edge = ridge_heights(canvas, scene.horizon - far, far, 2.0, 0.5, smooth=False)
    paint_ridge(canvas, scene.palette, scene.light, edge, scene.horizon + 30, 0.2, TerrainStyle(shade, 0.6))
    for number in range(5):
        depth = 0.3 + 0.7 * number / 4
        crest = scene.horizon + (canvas.height - scene.horizon) * (number / 4.6) ** 1.25 - scene.unit * 0.03
        tall = scene.unit * (0.05 + 0.13 * depth)
        edge = ridge_heights(canvas, crest, tall, 2.6 - 1.6 * depth, 0.22, smooth=True)
        look = TerrainStyle(
            shade, relief=1.0, wiggle=0.5, mist=0.3 * (1 - depth), texture=0.03, bright=0.25, soft=True
        )
        paint_ridge(canvas, scene.palette, scene.light, edge, canvas.height, 0.4 + 0.6 * depth, look)
    return scene


def forest(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, 0.72)
    scene.sky(scene.uniform(0.2, 0.5))
    shade = (
        scene.random_color(_PINE_COLORS)
        if theme.hour != "sunset"
        else blend(scene.random_color(_PINE_COLORS), parse_color("b0662c"), 0.45)
    )
    for number in range(5):
        depth = (number + 0.4) / 5
        crest = canvas.height * (0.36 + 0.115 * number)
        edge = ridge_heights(canvas, crest, canvas.height * 0.11, 1.4 + number * 0.3, 0.45, smooth=True)
        trees = tree_line(canvas, edge, scene.unit * (0.03 + 0.085 * depth), 1.25)
        look = TerrainStyle(shade, 0.6, 0.3, mist=0.85, soft=True)
        paint_ridge(canvas, scene.palette, scene.light, edge, canvas.height, depth, look, trees=trees)
    ground = scene.ground(canvas.height * 0.9, canvas.height * 0.06, shade)
    _paint_cabin(scene, ground)
    paint_pines(canvas, scene.palette, ground, scene.unit * 0.62, 30, 0.58)
    return scene


def winter(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, 0.66)
    scene.sky()
    scene.mountains(
        scene.horizon + scene.unit // 8,
        TerrainStyle(scene.random_color(_ROCK_COLORS), 0.95, 1.0, 0.95, mist=0.6, bright=0.3),
        layers=3,
        tall=0.66,
        forest=False,
    )
    snow = parse_color("dfe9f6")
    for number, crest in enumerate((0.66, 0.74)):
        edge = ridge_heights(canvas, canvas.height * crest, canvas.height * 0.06, 1.6, 0.35, smooth=True)
        if number == 0:
            trees = tree_line(canvas, edge, scene.unit * 0.055, 1.0)
            wood = TerrainStyle(parse_color("4a6274"), 0.3, mist=0.2)
            paint_ridge(canvas, scene.palette, scene.light, edge, int(edge.max()) + 2, 0.5, wood, trees=trees)
        look = TerrainStyle(snow, relief=0.6, wiggle=0.2, mist=0.12, texture=0.04, bright=0.6, soft=True)
        paint_ridge(canvas, scene.palette, scene.light, edge, canvas.height, 0.42 + 0.12 * number, look)
    ground = ridge_heights(canvas, canvas.height * 0.84, canvas.height * 0.09, 1.0, 0.3, smooth=True)
    look = TerrainStyle(snow, relief=0.6, wiggle=0.2, mist=0.0, texture=0.03, bright=0.6, soft=True)
    paint_ridge(canvas, scene.palette, scene.light, ground, canvas.height, 0.5, look)
    _paint_cabin(scene, ground)
    paint_pines(canvas, scene.palette, ground, scene.unit * 0.34, 26, 0.55, snowy=True)
    return scene


def city(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, adjust_horizon(canvas, 0.66))
    scene.sky(scene.uniform(0.2, 0.5))
    far = scene.unit * 0.1
    edge = ridge_heights(canvas, scene.horizon - far * 1.6, far, 1.5, 0.5, smooth=False)
    paint_ridge(
        canvas,
        scene.palette,
        scene.light,
        edge,
        scene.horizon,
        0.12,
        TerrainStyle(scene.random_color(_ROCK_COLORS), 0.4),
    )
    neon = theme.hour == "night" and (theme.tint is not None or scene.uniform(0, 1) < 0.5)
    paint_city(canvas, scene.palette, scene.horizon, neon=neon)
    paint_water(canvas, scene.palette, scene.light, scene.horizon, waves=0.3)
    return scene


def meadow(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, adjust_horizon(canvas, 0.5))
    scene.sky(scene.uniform(0.35, 0.6))
    scene.mountains(
        scene.horizon + scene.unit // 9,
        TerrainStyle(scene.random_color(_ROCK_COLORS), 0.6, 1.0, 0.12),
        layers=2,
        tall=0.4,
        forest=False,
    )
    green = scene.random_color(("6fa53c", "8fb545", "5c9a48"))
    first = scene.horizon
    for number in range(4):
        depth = 0.55 + 0.45 * number / 3
        crest = scene.horizon + (canvas.height - scene.horizon) * 0.17 * number - scene.unit * 0.02
        edge = ridge_heights(canvas, crest, scene.unit * 0.09, 2.2 - number * 0.3, 0.3, smooth=True)
        trees = None
        if number < 2:
            groves = np.sin(np.arange(canvas.width) / canvas.width * 17 + number) > 0.2
            trees = np.where(groves, tree_line(canvas, edge, scene.unit * 0.035, 0.7), edge)
        look = TerrainStyle(green, relief=0.75, wiggle=0.3, mist=0.1, texture=0.06, soft=True)
        paint_ridge(canvas, scene.palette, scene.light, edge, canvas.height, depth, look, trees=trees)
        first = int(edge.max())
    sets = (
        ("e8443a", "f26b4e", "ffd24d"),
        ("8f6fd1", "b48be0", "efe6fb"),
        ("f4b6cf", "fbe7ef", "e86fa0"),
        ("fff3c4", "f6c945", "ffffff"),
    )
    chosen = sets[int(canvas.rng.integers(len(sets)))]
    paint_flowers(canvas, scene.palette, first - int(scene.unit * 0.05), [parse_color(code) for code in chosen])
    return scene


def space(canvas: Canvas, theme: Theme) -> Scene:
    scene = Scene(canvas, theme, 0.8)
    paint_space(canvas, theme.tint)
    if scene.uniform(0, 1) < 0.45:
        edge = ridge_heights(canvas, canvas.height * 0.8, canvas.height * 0.16, 3.0, 0.5, smooth=False)
        light = LightSource(-canvas.width, 0, 1, moon=False)
        look = TerrainStyle(parse_color("3c3a5c"), relief=0.9, mist=0.0)
        paint_ridge(canvas, scene.palette, light, edge, canvas.height, 0.9, look)
    return scene


_PAINTERS: dict[Subject, Callable[[Canvas, Theme], Scene]] = {
    "mountains": mountains,
    "lake": lake,
    "sea": sea,
    "beach": beach,
    "desert": desert,
    "forest": forest,
    "winter": winter,
    "city": city,
    "meadow": meadow,
    "space": space,
}


def paint_scene(canvas: Canvas, theme: Theme) -> None:
    """Paint the theme, what the prompt adds to it, and the finish."""
    scene = _PAINTERS[theme.subject](canvas, theme)
    if "balloons" in theme.extras:
        objects.paint_balloons(canvas, scene.palette, scene.horizon)
    if theme.subject != "space" and ("birds" in theme.extras or scene.chance_of_birds()):
        objects.paint_birds(canvas, scene.palette, scene.horizon)
    if theme.hour == "fog" and theme.subject in {"sea", "beach", "city", "desert", "meadow"}:
        paint_mist(canvas, scene.palette, int(scene.horizon * 0.96), 0.1, 0.5)
    if "rain" in theme.extras:
        paint_rain(canvas)
    if "snowfall" in theme.extras:
        paint_snowfall(canvas)
    apply_finish(canvas)


def adjust_horizon(canvas: Canvas, usual: float) -> float:
    """A little lower on tall images, which have more sky to show."""
    return usual + (0.06 if canvas.height > canvas.width * 1.2 else 0.0)


def _paint_cabin(scene: Scene, ground: Array) -> None:
    if "cabin" in scene.theme.extras:
        objects.paint_cabin(scene.canvas, scene.palette, ground, scene.unit * 0.085)


def _paint_surf(scene: Scene, sand: Array) -> None:
    """Foam where the water ends."""
    rows = np.arange(scene.canvas.height, dtype=np.float32)[:, None]
    ragged = sand[None, :] + 6 * scene.canvas.grain[:1].repeat(3, axis=1)[:, : scene.canvas.width]
    foam = np.exp(-np.abs(rows - ragged + 5) / 5) + 0.5 * np.exp(-np.abs(rows - ragged + 26) / 4)
    scene.canvas.blend_over(
        0,
        np.clip(foam * 0.8, 0, 1).astype(np.float32),
        parse_color("ffffff") * np.float32(1 - 0.5 * scene.palette.dark),
    )
