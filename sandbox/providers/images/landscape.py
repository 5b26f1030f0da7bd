"""Images of a prompt, made of gradients, ridges and drawings: the offline stand-in for a model that paints."""

import hashlib

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from sandbox.providers.images.drawing import Array, choose_colors, draw, mix, rgb, to_ink
from sandbox.providers.images.theme import Theme, load_table, parse_theme

_SCALE = 2
"""Everything is drawn so many times larger, and made smaller at the end, which smooths the edges."""
_TABLES = load_table("scenes")
_FLOCK = ((0.5, 0.58, 1.25), (0.2, 0.36, 0.8), (0.78, 0.3, 0.6), (0.86, 0.74, 0.7), (0.34, 0.2, 0.5))
"""Where several fly: across and down in parts of the image, and how large."""
_LIGHTS = ("glow", "lit", "sun", "cloud")  # colours that neither light nor haze changes
_Pair = tuple[float, float]


def paint(prompt: str, seed: int, width: int, height: int) -> Image.Image:
    """An image that follows from the prompt, the seed and the size alone; at least 64 by 64 pixels."""
    words = " ".join(prompt.lower().split())
    number = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8])
    rng = np.random.default_rng([number, seed & 0xFFFFFFFFFFFF])
    scene = Scene(parse_theme(words, np.random.default_rng(number), rng), rng, width * _SCALE, height * _SCALE)
    scene.paint()
    grainy = np.asarray(scene.image.reduce(_SCALE)) + rng.integers(-5, 6, (height, width, 1), np.int16)
    return Image.fromarray(np.clip(grainy, 0, 255).astype(np.uint8))


class Scene:
    """An image that is painted from back to front. scenes.toml calls the methods, with their arguments as text."""

    def __init__(self, theme: Theme, rng: np.random.Generator, width: int, height: int) -> None:
        self.theme, self.rng, self.width, self.height = theme, rng, width, height
        self.unit, self.horizon = min(width, height), round(height * 0.6)
        self.sun_x = rng.uniform(0.2, 0.8) * width
        mood = theme.setting if theme.setting in _TABLES["skies"] else theme.hour
        self.colors = [rgb(code) for code in str(rng.choice(_TABLES["skies"][mood])).split()]
        self.named = {} if theme.tint is None else {"rug": rgb(theme.tint)}
        if theme.tint is not None:
            self.colors = [mix(each, rgb(theme.tint) * float(each.mean() / 140), 0.42) for each in self.colors]
        self.light, sun = rgb(_TABLES["lights"][mood]) / 255, rgb(_TABLES["suns"][theme.hour])
        self.haze = mix(self.colors[3], self.colors[1], 0.3)
        self.ground = rgb(_TABLES["grounds"].get("snow" if "snow" in theme.weather else theme.setting, "f7f3ec"))
        cloud, disc = mix(self.colors[3], sun, 0.4), mix(self.colors[3], rgb(theme.tint or "fff4e0"), 0.45)
        self.named |= {"sun": sun, "glint": np.append(sun, 110), "cloud": np.append(cloud, 160), "disc": disc}
        self.image = self._gradient(self.colors, width, height)

    def paint(self) -> None:
        """Paint the scene of the setting, then the subjects, then what falls."""
        self._run(_TABLES["scenes"][self.theme.setting])
        for number, name in enumerate(self.theme.subjects):
            self._place(name, number)
        for weather in ("rain", "snow"):
            self._run(_TABLES["extras"][weather] if weather in self.theme.weather else "")

    def _run(self, lines: str) -> None:
        for name, *arguments in map(str.split, lines.strip().splitlines()):
            getattr(self, name)(*arguments)

    def sky(self) -> None:
        self._run(_TABLES["extras"].get(self.theme.hour, ""))
        self._run(_TABLES["extras"]["aurora"] if "aurora" in self.theme.weather else "")
        radius = self.unit * (0.05 if self.theme.hour in ("night", "day") else 0.075)
        y = self.rng.uniform(0.24, 0.62) * self.horizon
        self._glow(self.sun_x, y, radius * 6)
        self._stand("sun", (self.sun_x, y), radius)
        self.scatter("cloud", "3", "-1.3", "-.5", ".11")

    def ridge(self, base: str, rise: str, rough: str, waves: str, color: str, haze: str, form: str = "") -> None:
        top = self._level(base) - self._bumps(float(rise), float(rough), float(waves))
        own = mix((self.ground if color == "ground" else rgb(color[1:])) * self.light, self.haze, float(haze))
        start = int(np.clip(top.min(), 0, self.height - 1))
        mask = Image.new("L", (self.width, self.height - start))
        ImageDraw.Draw(mask).polygon([(0, self.height), *enumerate(top - start), (self.width, self.height)], 255)
        self.image.paste(self._gradient([mix(own, self.colors[3], 0.15), own * 0.8], *mask.size), (0, start), mask)
        if form == "peaks":
            snow = np.minimum(top.min() + np.ptp(top) * 0.45 - top, self.unit * 0.12)
            self._drape(
                top,
                snow - self._bumps(0.05, 0.75, 14),
                mix(rgb("f4f7ff") * self.light, self.haze, float(haze) * 0.7),
                235,
            )
        if form == "dunes":
            self._drape(top, np.gradient(top) * self.unit * 0.5, own * 0.6, 120)

    def put(self, name: str, x: str, base: str, size: str) -> None:
        self._stand(name, (float(x) * self.width, self._level(base)), float(size) * self.unit)

    def scatter(self, name: str, count: str, start: str, end: str, size: str) -> None:
        for base in np.sort(self.rng.uniform(float(start), float(end), int(count))):
            high = self.unit * float(size) * self.rng.uniform(0.6, 1.2)
            haze = 0.5 * (1 - min(base, 1)) ** 2 if base >= 0 else 0.0
            self._stand(name, (self.rng.uniform(0, self.width), self._level(base)), high, haze)

    def water(self) -> None:
        """What is above the horizon, upside down and rippled, and the glitter of the sun."""
        deep = self.height - self.horizon
        mirror, rows = np.asarray(self.image)[self.horizon - deep : self.horizon][::-1], np.arange(deep)
        wave = np.sin(rows / self.unit * 260 + 3 * np.sin(rows / self.unit * 37)) * (0.2 + rows / deep)
        columns = np.arange(self.width) + (wave * self.unit * 0.008).astype(int)[:, None]
        rippled = Image.fromarray(mirror[rows[:, None], np.clip(columns, 0, self.width - 1)])
        colors = [mix(self.colors[2], self.colors[3], 0.5), mix(self.colors[0], rgb("1d5a72"), 0.35)]
        self.image.paste(Image.blend(rippled, self._gradient(colors, self.width, deep), 0.5), (0, self.horizon))
        for part in self.rng.uniform(0, 1, 130) ** 1.4:
            x = self.rng.normal(self.sun_x, self.unit * (0.03 + 0.1 * part))
            self._stand("glint", (x, self.horizon + part * deep), self.unit * (0.006 + 0.03 * part))
        if "rain" in self.theme.weather:
            self.scatter("wave", "60", "0.05", "1", ".09")

    def nebula(self) -> None:
        size, cloud = (self.width // 8, self.height // 8), np.zeros((self.height // 8, self.width // 8))
        for octave in range(5):
            rough = Image.fromarray(self.rng.uniform(-1, 1, (2 + 3 * 2**octave,) * 2).astype(np.float32))
            cloud += np.asarray(rough.resize(size, Image.Resampling.BICUBIC)) * 0.55**octave
        for offset, code in enumerate(self.rng.permutation(["7a3fb0", "2f6fd0", "d0508f", "25a5a5"])[:2]):
            soft = np.clip(0.9 - 1.6 * np.abs(cloud - offset / 2), 0, 1) ** 1.6 * 170
            mask = Image.fromarray(soft.astype(np.uint8)).resize(self.image.size)
            self.image.paste(to_ink(rgb(self.theme.tint or str(code))), (0, 0), mask)

    def _place(self, name: str, number: int) -> None:
        """Draw a subject where its kind belongs: in the sky, on the water, or on the ground."""
        about, setting = _TABLES["subjects"].get(name, {}), self.theme.setting
        several, size = about.get("flies", 0), self.unit * about.get("size", 0.56) * (0.75 if number else 1)
        x = self.width * ((0.33, 0.7)[number] if len(self.theme.subjects) > 1 else self.rng.uniform(0.4, 0.6))
        foot, color = self.height * about.get("foot", 0.93), None if number else self.theme.color
        if "flies" in about or setting in ("underwater", "space"):
            foot = self.height * 0.72
        elif setting in ("sea", "lake") and "swims" in about:
            foot = self._level("0.25")
        elif foot < self.height:
            self._stand("shade", (x, foot), size)
        if name in ("lighthouse", "house") and self.theme.hour in ("night", "dusk", "fog"):
            self._glow(x, foot - size * (0.85 if name == "lighthouse" else 0.3), size * 0.8)
        for across, down, scale in _FLOCK[:several] or [(x / self.width, foot / self.height, 1.0)]:
            self._stand(name, (across * self.width, down * self.height), size * scale, main=color)

    def _stand(self, name: str, foot: _Pair, size: float, haze: float = 0.0, main: str | None = None) -> None:
        """Draw a drawing. A subject is darker at the side away from the light."""
        colors = choose_colors(name, self.rng, main) | self.named

        def ink(color: str) -> tuple[int, ...]:
            own = colors[color] if color in colors else rgb(color)
            seen = own if color in _LIGHTS else mix(own[:3] * self.light, self.haze, haze)
            return to_ink(np.concatenate([seen[:3], own[3:]]))

        is_subject = name in self.theme.subjects and not haze
        layer = Image.new("RGBA", self.image.size) if is_subject else self.image
        sides = (size if self.rng.random() < 0.5 else -size, size)
        drawing = "snowy_pine" if name == "pine" and "snow" in self.theme.weather else name
        draw(ImageDraw.Draw(layer, "RGBA"), drawing, foot, sides, ink)
        if is_subject and (box := layer.getbbox()):
            alpha, offset = layer.getchannel("A").crop(box), int(size / 12)
            lit = ImageChops.offset(alpha, -offset, -offset // 2).filter(ImageFilter.BoxBlur(offset))
            self.image.paste(layer, (0, 0), layer)
            self.image.paste((20, 15, 45), box[:2], ImageChops.subtract(alpha, lit, 3))

    def _level(self, base: str | float) -> float:
        """The row of a BASE of scenes.toml."""
        return self.horizon + (self.height - self.horizon) * float(base)

    def _bumps(self, rise: float, rough: float, waves: float) -> Array:
        """How high a ridge is at each column, in pixels."""
        total = np.zeros(self.width)
        for octave in range(7):
            count = int(waves * self.width / self.unit * 2**octave) + 3
            low, part = np.divmod(np.arange(self.width) / self.width * count, 1)
            knots, left = self.rng.uniform(-1, 1, count + 2), low.astype(int)
            part = part if rough > 0.45 else part * part * (3 - 2 * part)
            total += (knots[left] * (1 - part) + knots[left + 1] * part) * rough**octave
        bumps: Array = rise * self.unit * (total - total.min()) / np.ptp(total)
        return bumps

    def _drape(self, top: Array, depth: Array, color: Array, alpha: int) -> None:
        """Colour what lies less than `depth` pixels below a ridge."""
        points = [*enumerate(top), *reversed(list(enumerate(top + np.maximum(0, depth))))]
        ImageDraw.Draw(self.image, "RGBA").polygon(points, (*to_ink(color), alpha))

    def _gradient(self, colors: list[Array], width: int, height: int) -> Image.Image:
        """Colours from top to bottom."""
        strip = Image.fromarray(np.clip(colors, 0, 255).astype(np.uint8)[:, None])
        return strip.resize((width, height), Image.Resampling.BILINEAR, (0, 0.5, 1, len(colors) - 0.5))

    def _glow(self, x: float, y: float, radius: float) -> None:
        """The light of the sun or of a lamp around a point."""
        spot = Image.radial_gradient("L").point(lambda far: max(0, 1 - far / 180) ** 2 * 115)
        mask = spot.resize((int(2 * radius), int(2 * radius)))
        light = Image.new("RGB", mask.size, to_ink(self.named["sun"]))
        self.image.paste(light, (int(x - radius), int(y - radius)), mask)
