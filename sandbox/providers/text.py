"""OfflineText: adds light by the hour that the prompt names, a view, a mood and a finish; the prompt itself stays."""

import hashlib
import re

import numpy as np

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.audio.speech import detect_language
from sandbox.providers.scenery.theme import HOURS, find_first

MAX_PROMPT_LENGTH = 1000
"""Characters of an improved prompt."""
_Phrases = tuple[str, ...]

LIGHTS: dict[str, dict[str, _Phrases]] = {
    "en": {
        "night": ("lit by soft moonlight", "deep blue night tones", "glowing points of light in the dark"),
        "sunset": ("warm golden backlight", "long soft shadows", "a glowing orange sky"),
        "dawn": ("the first pale light of day", "cool pastel tones", "a thin morning haze"),
        "dusk": ("violet evening light", "the last glow on the horizon", "soft blue shadows"),
        "fog": ("diffused silvery light", "muted colours", "layers fading into the distance"),
        "day": ("clear bright daylight", "crisp shadows", "vivid natural colours"),
        "any": ("soft natural light", "warm side light", "gentle contrast of light and shadow"),
    },
    "ru": {
        "night": ("мягкий лунный свет", "глубокие синие тона", "светящиеся огни в темноте"),
        "sunset": ("тёплый золотой контровой свет", "длинные мягкие тени", "пылающее оранжевое небо"),
        "dawn": ("первый бледный свет дня", "прохладные пастельные тона", "лёгкая утренняя дымка"),
        "dusk": ("лиловый вечерний свет", "последний отблеск на горизонте", "мягкие синие тени"),
        "fog": ("рассеянный серебристый свет", "приглушённые цвета", "планы, тающие вдали"),
        "day": ("ясный дневной свет", "чёткие тени", "сочные естественные цвета"),
        "any": ("мягкий естественный свет", "тёплый боковой свет", "плавная игра света и тени"),
    },
    "es": {
        "night": ("suave luz de luna", "tonos azules profundos", "luces que brillan en la oscuridad"),
        "sunset": ("cálido contraluz dorado", "sombras largas y suaves", "un cielo anaranjado encendido"),
        "dawn": ("la primera luz pálida del día", "tonos pastel fríos", "una ligera bruma matinal"),
        "dusk": ("luz violeta del anochecer", "el último resplandor en el horizonte", "sombras azules suaves"),
        "fog": ("luz plateada difusa", "colores apagados", "planos que se pierden a lo lejos"),
        "day": ("luz diurna clara", "sombras nítidas", "colores naturales vivos"),
        "any": ("suave luz natural", "cálida luz lateral", "delicado juego de luces y sombras"),
    },
    "fr": {
        "night": ("douce lumière de lune", "tons bleu profond", "lueurs dans l'obscurité"),
        "sunset": ("chaud contre-jour doré", "longues ombres douces", "ciel orange flamboyant"),
        "dawn": ("première lueur pâle du jour", "tons pastel frais", "légère brume du matin"),
        "dusk": ("lumière violette du soir", "dernière lueur à l'horizon", "ombres bleues et douces"),
        "fog": ("lumière argentée diffuse", "couleurs sourdes", "plans qui s'estompent au loin"),
        "day": ("lumière du jour limpide", "ombres nettes", "couleurs naturelles vives"),
        "any": ("douce lumière naturelle", "chaude lumière latérale", "jeu délicat d'ombre et de lumière"),
    },
}
VIEWS: dict[str, _Phrases] = {
    "en": ("wide composition with depth", "balanced composition", "a clear foreground and a soft background"),
    "ru": ("широкая композиция с глубиной", "уравновешенная композиция", "чёткий передний план и мягкий фон"),
    "es": ("composición amplia con profundidad", "composición equilibrada", "primer plano nítido y fondo suave"),
    "fr": ("composition large et profonde", "composition équilibrée", "premier plan net et arrière-plan doux"),
}
MOODS: dict[str, _Phrases] = {
    "en": ("calm atmosphere", "a sense of wonder", "quiet cinematic mood"),
    "ru": ("спокойная атмосфера", "ощущение чуда", "тихое кинематографичное настроение"),
    "es": ("atmósfera serena", "una sensación de asombro", "ambiente cinematográfico y tranquilo"),
    "fr": ("atmosphère paisible", "un sentiment d'émerveillement", "ambiance calme et cinématographique"),
}
QUALITIES: dict[str, _Phrases] = {
    "en": ("fine detail, harmonious colours", "rich textures, high resolution", "sharp focus, natural colours"),
    "ru": (
        "тонкая детализация, гармоничные цвета",
        "богатая фактура, высокое разрешение",
        "чёткий фокус, естественные цвета",
    ),
    "es": (
        "detalle fino, colores armoniosos",
        "texturas ricas, alta resolución",
        "enfoque nítido, colores naturales",
    ),
    "fr": (
        "détails fins, couleurs harmonieuses",
        "textures riches, haute résolution",
        "mise au point nette, couleurs naturelles",
    ),
}


class OfflineText:
    """TextProvider by phrase lists in English, Russian, Spanish and French."""

    name = "offline"
    offline = True

    async def improve(self, prompt: str, language: str) -> str:
        """The prompt with light, view, mood and finish added; the same prompt always gets the same ones."""
        words = " ".join(prompt.split())
        spoken = detect_language(words, language)
        phrase_language = spoken if spoken in QUALITIES else "en"
        improved = _truncate(words)
        for phrase in _pick_phrases(words, phrase_language):
            if phrase.lower() not in words.lower() and len(improved) + len(phrase) + 2 <= MAX_PROMPT_LENGTH:
                improved = f"{improved.rstrip(' ,.;')}, {phrase}" if improved else phrase
        return improved

    async def answer(self, instructions: str, question: str) -> str:
        """Always raises NOT_FOUND: nothing here understands a question."""
        raise ProviderError(ErrorKind.NOT_FOUND, "offline: no model answers")

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""


def _pick_phrases(prompt: str, language: str) -> list[str]:
    digest = hashlib.sha256(prompt.lower().encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8]))
    hour = find_first(HOURS, prompt)
    lights = LIGHTS[language]
    light = lights[hour] if hour else lights["any"]
    choices = (light, VIEWS[language], MOODS[language], QUALITIES[language])
    return [phrases[int(rng.integers(len(phrases)))] for phrases in choices]


def _truncate(words: str) -> str:
    """At most MAX_PROMPT_LENGTH characters, ending with a whole word."""
    return (
        words
        if len(words) <= MAX_PROMPT_LENGTH
        else re.sub(r"\s+\S*$", "", words[: MAX_PROMPT_LENGTH + 1])[:MAX_PROMPT_LENGTH]
    )
