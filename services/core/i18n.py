"""What people read, in their language: gettext catalogues in locales/, looked up by key.

Catalogues are compiled when they are read, so that no .mo file can be older than its .po.
"""

import gettext
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path

from aiogram.utils.i18n import I18n
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES_DIR = Path(__file__).resolve().parents[2] / "locales"
DEFAULT_LANGUAGE = "en"


class Html(str):
    """Text that is HTML already; everything else is escaped when it is put into a message."""

    __slots__ = ()


class _Catalogues(I18n):
    def find_locales(self) -> dict[str, gettext.GNUTranslations]:
        found = {}
        for path in sorted(self.path.glob(f"*/LC_MESSAGES/{self.domain}.po")):
            compiled = io.BytesIO()
            with path.open("rb") as source:
                write_mo(compiled, read_po(source))
            compiled.seek(0)
            found[path.parent.parent.name] = gettext.GNUTranslations(compiled)
        return found


class Texts:
    """All texts in all languages."""

    def __init__(self, locales_dir: Path = LOCALES_DIR) -> None:
        self._catalogues = _Catalogues(path=locales_dir, default_locale=DEFAULT_LANGUAGE)

    @property
    def languages(self) -> tuple[str, ...]:
        return self._catalogues.available_locales

    def language_for(self, code: str | None) -> str:
        """Ours for a language code of Telegram's (`ru`, `pt-br`); English where we have none."""
        short = (code or "").split("-")[0].lower()
        return short if short in self.languages else DEFAULT_LANGUAGE

    def t(self, language: str, key: str, n: int | None = None, /, **params: str | int) -> str:
        """The text as HTML. With `n`, in the plural form that fits it, and `{n}` is filled in."""
        known = language if language in self.languages else DEFAULT_LANGUAGE
        if n is None:
            text = self._catalogues.gettext(key, locale=known)
        else:
            text = self._catalogues.gettext(key, key, n, locale=known)
            params = {"n": n, **params}
        return text.format_map(_escaped(params)) if params else text

    def has_key(self, key: str) -> bool:
        return self._catalogues.gettext(key, locale=DEFAULT_LANGUAGE) != key


def _escaped(params: Mapping[str, str | int]) -> dict[str, str | int]:
    return {
        name: escape(value, quote=False) if isinstance(value, str) and not isinstance(value, Html) else value
        for name, value in params.items()
    }
