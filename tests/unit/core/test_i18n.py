"""The catalogues: complete in every language, with the same placeholders, and correct plurals."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from services.core.errors import _PROVIDER_FAILURES
from services.core.i18n import LOCALES_DIR, Html, Texts
from services.generation.inputs import ChoiceInput
from services.generation.registry import SERVICES

ROOT = Path(__file__).resolve().parents[3]
TEXTS = Texts()
TAGS = {"pre", "/pre", "b", "/b", "i", "/i", "code", "/code", "blockquote", "/blockquote", "u", "/u", "s", "/s"}


def catalogue(language: str) -> Catalog:
    with (LOCALES_DIR / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file)


CATALOGUES = {language: catalogue(language) for language in TEXTS.languages}


def entries(language: str) -> dict[str, Message]:
    found = {}
    for message in CATALOGUES[language]:
        key = message.id if isinstance(message.id, str) else message.id[0]
        if key:
            found[key] = message
    return found


def forms(message: Message) -> tuple[str, ...]:
    return message.string if isinstance(message.string, tuple) else (str(message.string),)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_languages_include_english_and_russian() -> None:
    assert {"en", "ru"} <= set(TEXTS.languages)


@pytest.mark.parametrize("language", TEXTS.languages)
def test_catalogue_has_the_same_texts_as_english(language: str) -> None:
    translated, english = entries(language), entries("en")
    assert set(translated) == set(english)
    for key, message in translated.items():
        assert not message.fuzzy, key
        assert all(form.strip() for form in forms(message)), key
        assert message.pluralizable == english[key].pluralizable, key
        if message.pluralizable:
            assert len(forms(message)) == CATALOGUES[language].num_plurals, key


@pytest.mark.parametrize("language", TEXTS.languages)
def test_translations_have_the_same_placeholders_and_only_telegrams_tags(language: str) -> None:
    for key, message in entries(language).items():
        expected = placeholders(forms(entries("en")[key])[-1])
        for form in forms(message):
            assert placeholders(form) - {"n"} == expected - {"n"}, key
            tags = re.findall(r"<([^>]*)>", form)
            assert set(tags) <= TAGS, key
            for tag in tags:
                assert tags.count(tag.strip("/")) == tags.count(f"/{tag.strip('/')}"), key


def literal_keys() -> Iterator[tuple[str, str]]:
    """Every key that is a literal in the code: the key, and its file."""
    pattern = re.compile(r"^[a-z_]+\.[a-z_]+(\.[a-z_]+)*$")
    for folder in ("bot", "handlers", "services", "inngest_functions"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                place = 1 if name == "t" and not is_user_context(node.func) else 0
                if (
                    name in {"t", "InvalidRequest", "PermanentFailure", "TransientFailure", "Unavailable"}
                    and len(node.args) > place
                ):
                    argument = node.args[place]
                    if isinstance(argument, ast.Constant) and pattern.match(str(argument.value)):
                        yield str(argument.value), str(path.relative_to(ROOT))


def is_user_context(func: ast.expr) -> bool:
    """`ctx.t(key)` knows the language; `texts.t(language, key)` and `t(language, key)` take it as an argument."""
    return isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "ctx"


def test_literal_keys_in_the_code_have_texts() -> None:
    used = dict(literal_keys())
    assert len(used) > 30, "the search finds the keys"
    missing = {key: path for key, path in used.items() if key not in entries("en")}
    assert missing == {}


def test_composed_keys_have_texts() -> None:
    keys = {key for _, key in _PROVIDER_FAILURES.values()}
    keys |= {f"progress.{state}" for state in ("succeeded", "failed", "cancelled")}
    for spec in SERVICES.values():
        keys |= {f"service.{spec.id}.{text}" for text in ("name", "about", "price")}
        keys |= {f"service.{spec.id}.ask.{each.id}" for each in spec.inputs if not isinstance(each, ChoiceInput)}
        keys |= {f"edit.{each.id}" for each in spec.inputs if not isinstance(each, ChoiceInput)}
        for each in spec.inputs:
            if isinstance(each, ChoiceInput):
                keys |= {f"choice.{each.id}", f"choose.{each.id}"}
        keys |= {f"service.{a}.go_on" if a in SERVICES else f"button.{a}" for a in spec.actions}
    assert keys - set(entries("en")) == set()
    assert all(TEXTS.has_key(key) for key in keys)
    assert not TEXTS.has_key("no.such.text")


def strings_and_patterns() -> tuple[set[str], set[re.Pattern[str]]]:
    """Every string in the code, and a pattern for each f-string that looks like a key."""
    plain: set[str] = set()
    patterns: set[re.Pattern[str]] = set()
    for folder in ("bot", "handlers", "services", "inngest_functions", "storage"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    plain.add(node.value)
                elif isinstance(node, ast.JoinedStr):
                    group = "([a-z0-9_]+)"
                    parts = [
                        re.escape(str(v.value)) if isinstance(v, ast.Constant) else group for v in node.values
                    ]
                    if re.fullmatch(r"[a-z_]*(\\\.[a-z_]*)*", "".join(parts).replace(group, "")):
                        patterns.add(re.compile("".join(parts)))
    return plain, patterns


def test_texts_are_all_used() -> None:
    """Each text is used by its key, or by one that the code composes of strings that it contains."""
    plain, patterns = strings_and_patterns()

    def is_composed(key: str) -> bool:
        found = [pattern.fullmatch(key) for pattern in patterns]
        return any(match and all(word in plain or word.isdigit() for word in match.groups()) for match in found)

    assert not is_composed("button.no_such_place"), "the search does not treat everything as used"
    unused = {key for key in entries("en") if key not in plain and not is_composed(key)}
    assert unused == set()


@pytest.mark.parametrize("language", sorted(set(TEXTS.languages) - {"en"}))
def test_translations_are_not_left_in_english(language: str) -> None:
    """No text of several words is the same as in English."""
    english = entries("en")
    same = {
        key: forms(message)
        for key, message in entries(language).items()
        if forms(message)[-1] == forms(english[key])[-1]
        and len(re.findall(r"[a-z]{3,}", re.sub(r"<[^>]*>|{[^}]*}|/\w+", "", forms(message)[-1]))) > 1
    }
    assert same == {}


@pytest.mark.parametrize(
    ("n", "english", "russian"),
    [
        (0, "0 Stars are", "0 звёзд вернулось"),
        (1, "1 Star is", "1 звезда вернулась"),
        (2, "2 Stars are", "2 звезды вернулись"),
        (5, "5 Stars are", "5 звёзд вернулось"),
        (11, "11 Stars are", "11 звёзд вернулось"),
        (12, "12 Stars are", "12 звёзд вернулось"),
        (21, "21 Stars are", "21 звезда вернулась"),
        (22, "22 Stars are", "22 звезды вернулись"),
        (25, "25 Stars are", "25 звёзд вернулось"),
        (111, "111 Stars are", "111 звёзд вернулось"),
        (121, "121 Stars are", "121 звезда вернулась"),
    ],
)
def test_plural_follows_the_number(n: int, english: str, russian: str) -> None:
    assert TEXTS.t("en", "failure.returned", n).startswith(english)
    assert TEXTS.t("ru", "failure.returned", n).startswith(russian)


def test_parameters_are_escaped_unless_they_are_html() -> None:
    assert "&lt;b&gt;&amp;" in TEXTS.t("en", "start.greeting", name="<b>&")
    assert "<i>x</i>" in TEXTS.t("en", "start.greeting", name=Html("<i>x</i>"))
    assert "{price}" in TEXTS.t("en", "start.greeting", name="{price} {0} %s"), "not filled in twice"


@pytest.mark.parametrize(
    ("code", "language"),
    [("ru", "ru"), ("ru-RU", "ru"), ("RU", "ru"), ("en-gb", "en"), ("xx", "en"), ("", "en"), (None, "en")],
)
def test_language_for_a_telegram_language_code(code: str | None, language: str) -> None:
    assert TEXTS.language_for(code) == language


def test_unknown_language_gets_english_texts() -> None:
    assert TEXTS.t("xx", "language.name") == "English"


def test_toast_texts_fit_into_telegrams_limit() -> None:
    """Telegram: answers to taps at most 200 characters. https://core.telegram.org/bots/api#answercallbackquery"""
    for language in TEXTS.languages:
        for key in ("stale.button", "stale.ordered", "cancel.toast", "throttle"):
            assert len(TEXTS.t(language, key)) <= 200, (language, key)
