"""What a broadcast is made of: its buttons, its price, and which version somebody gets."""

import pytest

from services.broadcast.content import Content, LinkButton, fallback_version, max_price_in_stars, parse_buttons
from services.core.errors import InvalidRequest


def test_lines_become_buttons() -> None:
    assert parse_buttons(" Open | https://example.com/a?b=1 \n\nA | B | tg://resolve?domain=x") == (
        LinkButton(text="Open", url="https://example.com/a?b=1"),
        LinkButton(text="A | B", url="tg://resolve?domain=x"),
    )


@pytest.mark.parametrize(
    "text", ["Open", "Open |", "| https://example.com", "Open | javascript:x", "Open | https://"]
)
def test_what_is_no_button_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="wrong_button"):
        parse_buttons(text)


def test_too_many_buttons_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="wrong_buttons"):
        parse_buttons("x | https://example.com\n" * 11)


@pytest.mark.parametrize(("people", "stars"), [(0, 0), (30, 0), (31, 1), (1000, 97), (3000, 291), (3001, 289)])
def test_what_is_over_the_free_messages_costs_a_tenth_of_a_star(people: int, stars: int) -> None:
    assert max_price_in_stars(people) == stars


def test_who_has_no_version_of_their_own_gets_the_one_for_all_or_the_english_one() -> None:
    assert fallback_version({"*": 1, "en": 1, "ru": 1}) == "*"
    assert fallback_version({"en": 1, "ru": 1}) == "en"
    assert fallback_version({"ru": 1}) == ""


def test_the_card_shows_the_first_words_without_their_looks() -> None:
    content = Content(chat_id=1, message_ids=(1,), kind="text", html=f"<b>1 &lt; 2</b> {'x' * 100}")
    assert content.preview.startswith("1 < 2 xxx")
    assert len(content.preview) == 61
