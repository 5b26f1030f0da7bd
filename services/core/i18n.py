"""Texts for users in their language, looked up by key in the gettext catalogues in locales/.

Catalogues are compiled when they are loaded, so there are no .mo files that could be out of date.
"""

import gettext
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES_DIR = Path(__file__).resolve().parents[2] / "locales"
DEFAULT_LANGUAGE = "en"
_DOMAIN = "messages"


class Html(str):
    """Text that is already HTML. Any other string is escaped when it is inserted into a message."""

    __slots__ = ()


class Texts:
    """All texts in all languages.

    Args:
        folder: The folder with the catalogues, `<language>/LC_MESSAGES/messages.po`.
    """

    def __init__(self, folder: Path = LOCALES_DIR) -> None:
        self._catalogues = {
            path.parent.parent.name: _compile(path) for path in sorted(folder.glob(f"*/LC_MESSAGES/{_DOMAIN}.po"))
        }

    @property
    def languages(self) -> tuple[str, ...]:
        """The two-letter codes of the languages that have a catalogue."""
        return tuple(self._catalogues)

    def language_for(self, code: str | None) -> str:
        """Map one of Telegram's language codes (`ru`, `pt-br`) to ours; English if we do not have the language."""
        short = (code or "").split("-")[0].lower()
        return short if short in self._catalogues else DEFAULT_LANGUAGE

    def t(self, language: str, key: str, n: int | None = None, /, **params: str | int) -> str:
        """Look up a text.

        Args:
            language: A language code; English is used if it has no catalogue.
            key: The text's key, `msgid` in the catalogues.
            n: Selects the plural form, and fills in `{n}`.
            **params: Values for the text's placeholders. Strings are escaped unless they are Html.

        Returns:
            The text as HTML; the key itself if no catalogue has it.
        """
        catalogue = self._catalogues.get(language) or self._catalogues[DEFAULT_LANGUAGE]
        if n is None:
            text = catalogue.gettext(key)
        else:
            text = catalogue.ngettext(key, key, n)
            params = {"n": n, **params}
        return text.format_map(_escaped(params)) if params else text

    def has_key(self, key: str) -> bool:
        """Whether there is a text with this key."""
        return self._catalogues[DEFAULT_LANGUAGE].gettext(key) != key


def _compile(path: Path) -> gettext.GNUTranslations:
    compiled = io.BytesIO()
    with path.open("rb") as source:
        write_mo(compiled, read_po(source))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _escaped(params: Mapping[str, str | int]) -> dict[str, str | int]:
    return {
        name: escape(value, quote=False) if isinstance(value, str) and not isinstance(value, Html) else value
        for name, value in params.items()
    }
