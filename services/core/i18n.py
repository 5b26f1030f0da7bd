"""What users read, in their language: gettext catalogues in locales/, looked up by key.

Catalogues are compiled when they are read, so that no .mo file can be older than its .po.
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
    """Text that is HTML already; everything else is escaped when it is put into a message."""

    __slots__ = ()


class Texts:
    """All texts in all languages.

    Args:
        folder: Where the catalogues are: `<language>/LC_MESSAGES/messages.po`.
    """

    def __init__(self, folder: Path = LOCALES_DIR) -> None:
        self._catalogues = {
            path.parent.parent.name: _compile(path) for path in sorted(folder.glob(f"*/LC_MESSAGES/{_DOMAIN}.po"))
        }

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a catalogue, by their two-letter codes."""
        return tuple(self._catalogues)

    def language_for(self, code: str | None) -> str:
        """Our language for one of Telegram's codes (`ru`, `pt-br`); English where we have none."""
        short = (code or "").split("-")[0].lower()
        return short if short in self._catalogues else DEFAULT_LANGUAGE

    def t(self, language: str, key: str, n: int | None = None, /, **params: str | int) -> str:
        """Look a text up.

        Args:
            language: A language code; one without a catalogue is answered in English.
            key: The text's key, `msgid` in the catalogues.
            n: A number that chooses the plural form; it also fills in `{n}`.
            **params: What the text's placeholders are filled in with. Strings are escaped unless they are Html.

        Returns:
            The text as HTML; the key itself where no catalogue has it.
        """
        catalogue = self._catalogues.get(language) or self._catalogues[DEFAULT_LANGUAGE]
        if n is None:
            text = catalogue.gettext(key)
        else:
            text = catalogue.ngettext(key, key, n)
            params = {"n": n, **params}
        return text.format_map(_escaped(params)) if params else text

    def has_key(self, key: str) -> bool:
        """Whether there is a text of this key."""
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
