"""What a prompt asks for, as far as a landscape can show it: read from its words, in English and Russian."""

import re
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from sandbox.providers.scenery.noise import Rng
from sandbox.providers.scenery.palette import Hour

Name = TypeVar("Name")
Subject = Literal["mountains", "lake", "sea", "desert", "forest", "winter", "city", "space", "meadow", "beach"]

SUBJECTS: dict[Subject, str] = {
    "city": (
        r"cit(?:y|ies)|town\w*|street\w*|skyline|skyscraper\w*|cyberpunk|neon|tokyo|new york|"
        r"город\w*|улиц\w*|небоскр\w*|киберпанк\w*|неон\w*|москв\w*"
    ),
    "space": (
        r"space|galax\w*|planet\w*|nebula\w*|cosmos|cosmic|astronaut\w*|universe|alien\w*|"
        r"космо\w*|галактик\w*|планет\w*|туманност\w*|вселенн\w*|инопланет\w*"
    ),
    "desert": (
        r"desert\w*|dune\w*|sahara|camel\w*|sand|mars|"
        r"пустын\w*|дюн\w*|барха\w*|верблюд\w*|сахар[аеуы]|песк\w*|песок|марс\w*"
    ),
    "winter": (
        r"winter\w*|snow\w*|ice|icy|frost\w*|arctic|christmas|iceberg\w*|penguin\w*|"
        r"зим\w*|снег\w*|снеж\w*|л[её]д|ледян\w*|мороз\w*|аркти\w*|новогод\w*|пингвин\w*"
    ),
    "beach": (
        r"beach\w*|tropic\w*|palm\w*|island\w*|paradise|hawaii|"
        r"пляж\w*|тропи\w*|пальм\w*|остров\w*|райск\w*"
    ),
    "sea": (
        r"sea|seas|ocean\w*|wave\w*|ship\w*|boat\w*|sail\w*|whale\w*|harbou?r|lighthouse|"
        r"море|моря|морск\w*|морем|океан\w*|волн\w*|кораб\w*|лодк\w*|парус\w*|кит|маяк\w*"
    ),
    "forest": (
        r"forest\w*|wood|woods|tree\w*|jungle\w*|pine\w*|fox\w*|bear|deer|wolf|owl|"
        r"лес|леса|лесу|лесн\w*|дерев\w*|ёл\w*|елк\w*|сосн\w*|джунгл\w*|лис\w*|медвед\w*|олен\w*|"
        r"волк\w*|сов[аы]"
    ),
    "meadow": (
        r"meadow\w*|field\w*|flower\w*|spring|grass\w*|garden\w*|rose\w*|lavender|tulip\w*|hill\w*|"
        r"butterfl\w*|horse\w*|"
        r"луг\w*|пол[еяю]|цвет[ыок]\w*|весн\w*|трав\w*|сад\w*|роз[аы]|лаванд\w*|тюльпан\w*|холм\w*|"
        r"бабоч\w*|лошад\w*|кон[ьи]"
    ),
    "lake": (
        r"lake\w*|river\w*|reflection\w*|pond|swan\w*|"
        r"озер\w*|рек[аиуе]|отражени\w*|пруд\w*|лебед\w*"
    ),
    "mountains": (
        r"mountain\w*|peak\w*|alps|valley\w*|canyon\w*|dragon\w*|eagle\w*|castle\w*|"
        r"гор[аыуе]|горн\w*|горах|вершин\w*|альп\w*|долин\w*|каньон\w*|дракон\w*|ор[её]л|замок|"
        r"замк\w*"
    ),
}
HOURS: dict[Hour, str] = {
    "night": (
        r"night\w*|moon\w*|star|stars|starry|midnight|dark|aurora\w*|northern lights|neon|"
        r"cyberpunk|"
        r"ноч\w*|лун[аыноуе]\w*|зв[её]зд\w*|полноч\w*|т[её]мн\w*|сияни\w*|неон\w*|киберпанк\w*"
    ),
    "sunset": (
        r"sunset\w*|golden hour|autumn\w*|fall|lava|volcan\w*|fire|"
        r"закат\w*|осен\w*|лав[аы]|вулкан\w*|огн\w*|огонь"
    ),
    "dawn": r"dawn\w*|sunrise\w*|morning\w*|pastel|рассвет\w*|утр\w*|восход\w*|нежн\w*|пастел\w*",
    "dusk": r"dusk|twilight|evening\w*|сумер\w*|вечер\w*",
    "fog": (
        r"fog\w*|mist\w*|rain\w*|storm\w*|gloomy|cloudy|"
        r"туман\w*|дожд\w*|гроз[аы]|шторм\w*|пасмурн\w*|дымк\w*"
    ),
    "day": r"day|sunny|noon|summer\w*|bright|blue sky|день|дн[её]м|солнечн\w*|лет[оне]\w*|ясн\w*",
}
_EXTRAS = {
    "aurora": r"aurora\w*|northern lights|сияни\w*",
    "stars": r"star|stars|starry|milky way|зв[её]зд\w*|млечн\w*",
    "snowfall": (
        r"snowfall|snowing|blizzard|snowflake\w*|christmas|"
        r"снегопад\w*|снежинк\w*|метел\w*|вьюг\w*|новогод\w*"
    ),
    "rain": r"rain\w*|storm\w*|shower|дожд\w*|ливен\w*|гроз[аы]|шторм\w*",
    "boat": r"boat\w*|ship\w*|sail\w*|yacht\w*|pirate\w*|лодк\w*|кораб\w*|парус\w*|яхт\w*|пират\w*",
    "birds": (
        r"bird\w*|gull\w*|eagle\w*|crane\w*|swan\w*|dragon\w*|"
        r"птиц\w*|чайк\w*|ор[её]л|журавл\w*|дракон\w*"
    ),
    "cabin": (
        r"cabin\w*|house\w*|home|cottage|hut|village|"
        r"дом|домик\w*|изб\w*|хижин\w*|деревн\w*|дач\w*"
    ),
    "lighthouse": r"lighthouse\w*|маяк\w*",
    "castle": (
        r"castle\w*|fortress|kingdom|tower\w*|princess|knight|"
        r"замок|замк\w*|крепост\w*|королевств\w*|башн\w*|принцесс\w*|рыцар\w*"
    ),
    "balloons": r"balloon\w*|воздушн\w* шар\w*|шарик\w*",
    "moon": r"moon\w*|лун[аыноуе]\w*",
}
_TINTS = {
    r"red|crimson|scarlet|красн\w*|ал[ыа][йя]": 0.0,
    r"orange|оранж\w*|рыж\w*": 0.07,
    r"gold\w*|yellow|amber|золот\w*|ж[её]лт\w*": 0.12,
    r"green|emerald|зел[её]н\w*|изумруд\w*": 0.36,
    r"teal|turquoise|cyan|бирюз\w*": 0.49,
    r"blue|azure|син[ийяе]\w*|голуб\w*": 0.6,
    r"purple|violet|lilac|фиолет\w*|сирен\w*|лилов\w*": 0.76,
    r"pink|magenta|cherry|sakura|розов\w*|сакур\w*": 0.92,
}
_DEFAULT_HOURS: dict[Subject, tuple[Hour, ...]] = {
    "mountains": ("dawn", "sunset", "dusk", "day", "night"),
    "lake": ("dawn", "sunset", "dusk", "day", "night"),
    "sea": ("sunset", "day", "dawn", "dusk"),
    "desert": ("sunset", "day", "dawn", "dusk"),
    "forest": ("dawn", "fog", "sunset", "day"),
    "winter": ("dawn", "dusk", "day", "night"),
    "city": ("dusk", "night", "sunset"),
    "space": ("night",),
    "meadow": ("day", "dawn", "sunset"),
    "beach": ("sunset", "day", "dawn"),
}


@dataclass(frozen=True)
class Theme:
    """What will be painted."""

    subject: Subject
    hour: Hour
    extras: frozenset[str] = field(default=frozenset())
    tint: float | None = None
    """A hue in turns, where a colour was named."""


def parse_theme(prompt: str, by_prompt: Rng, by_seed: Rng) -> Theme:
    """The first subject, hour and colour that the prompt names.

    A subject that it leaves open follows from the prompt alone, an hour from the seed too.
    """
    named = find_first(SUBJECTS, prompt)
    subject: Subject = named if named is not None else _pick(by_prompt, tuple(SUBJECTS))
    clear: dict[Hour, str] = {hour: words for hour, words in HOURS.items() if hour != "fog"}
    named_hour = find_first(clear, prompt) or find_first(
        HOURS, prompt
    )  # a storm may come at any hour; alone, it is grey
    hour: Hour = (
        named_hour if named_hour is not None and subject != "space" else _pick(by_seed, _DEFAULT_HOURS[subject])
    )
    extras = frozenset(name for name, words in _EXTRAS.items() if _find(words, prompt) is not None)
    return Theme(subject, hour, extras, find_first({hue: words for words, hue in _TINTS.items()}, prompt))


def _find(words: str, prompt: str) -> int | None:
    found = re.search(rf"(?<!\w)(?:{words})(?!\w)", prompt, re.IGNORECASE)
    return found.start() if found else None


def find_first(table: dict[Name, str], prompt: str) -> Name | None:
    places = {name: place for name, words in table.items() if (place := _find(words, prompt)) is not None}
    return min(places, key=lambda name: places[name]) if places else None


def _pick(rng: Rng, choices: tuple[Name, ...]) -> Name:
    return choices[int(rng.integers(len(choices)))]
