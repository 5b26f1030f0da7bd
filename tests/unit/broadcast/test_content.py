"""What a broadcast is made of: its buttons, its price, and which version a user gets."""

import pytest

from services.broadcast.content import (
    Content,
    LinkButton,
    can_be_paid,
    fallback_version,
    max_price_in_stars,
    parse_buttons,
)
from services.core.errors import InvalidRequest


def test_parse_buttons_reads_one_button_per_line() -> None:
    assert parse_buttons(" Open | https://example.com/a?b=1 \n\nA | B | tg://resolve?domain=x") == (
        LinkButton(text="Open", url="https://example.com/a?b=1"),
        LinkButton(text="A | B", url="tg://resolve?domain=x"),
    )


@pytest.mark.parametrize(
    "text", ["Open", "Open |", "| https://example.com", "Open | javascript:x", "Open | https://"]
)
def test_parse_buttons_with_an_invalid_line_raises(text: str) -> None:
    with pytest.raises(InvalidRequest, match="wrong_button"):
        parse_buttons(text)


def test_parse_buttons_with_more_than_ten_raises() -> None:
    with pytest.raises(InvalidRequest, match="wrong_buttons"):
        parse_buttons("x | https://example.com\n" * 11)


@pytest.mark.parametrize(("recipients", "stars"), [(0, 0), (30, 0), (31, 1), (1000, 97), (3000, 291), (3001, 289)])
def test_max_price_is_a_tenth_of_a_star_per_message_over_the_free_ones(recipients: int, stars: int) -> None:
    assert max_price_in_stars(recipients) == stars


def test_fallback_version_is_the_one_for_all_or_else_the_english_one() -> None:
    assert fallback_version({"*": 1, "en": 1, "ru": 1}) == "*"
    assert fallback_version({"en": 1, "ru": 1}) == "en"
    assert fallback_version({"ru": 1}) == ""


def test_preview_is_the_start_of_the_text_without_formatting() -> None:
    content = Content(chat_id=1, message_ids=(1,), kind="text", html=f"<b>1 &lt; 2</b> {'x' * 100}")
    assert content.preview.startswith("1 < 2 xxx")
    assert len(content.preview) == 61


def test_albums_cannot_be_paid() -> None:
    single = Content(chat_id=1, message_ids=(1,), kind="media")
    album = Content(chat_id=1, message_ids=(1, 2), kind="media")
    assert can_be_paid({"*": single})
    assert not can_be_paid({"*": single, "ru": album})
