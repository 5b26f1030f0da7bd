"""The squares of Leela: 72 of them in every language, each with its own text; and the captions that show them."""

import re
from html import unescape

import pytest

from services.core.i18n import Texts
from services.leela.captions import move_caption, next_step_text, path_text
from services.leela.reply import template_reply
from services.leela.rules import LAST_SQUARE, MIN_REPORT_LENGTH, Game, Move, apply_roll
from services.leela.squares import SQUARES_DIR, get_square, load_squares
from storage.leela import Awaits

LANGUAGES = ("en", "ru", "es", "fr")
TEXTS = Texts()
PLACEHOLDER = re.compile(r"TODO|FIXME|XXX|[Ll]orem|\.\.\.|[{}<>|]")
CAPTION = 1024
"""Characters at most under a photo: https://core.telegram.org/bots/api#sendphoto"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_squares_have_unique_names_and_meanings(language: str) -> None:
    assert (SQUARES_DIR / f"{language}.toml").is_file()
    found = load_squares(language)
    assert list(found) == list(range(1, LAST_SQUARE + 1))
    for number, each in found.items():
        for text in (each.name, each.meaning):
            assert text == text.strip(), number
            assert text, number
            assert not PLACEHOLDER.search(text), (number, text)
        assert 40 <= len(each.meaning) <= 250, number
        assert each.meaning[-1] in ".?!", number
    assert len({each.name for each in found.values()}) == LAST_SQUARE
    assert len({each.meaning for each in found.values()}) == LAST_SQUARE


def test_translations_differ_from_each_other() -> None:
    for number in range(1, LAST_SQUARE + 1):
        assert len({get_square(number, language).meaning for language in LANGUAGES}) == len(LANGUAGES), number
    assert all(re.search("[а-я]", each.name + each.meaning) for each in load_squares("ru").values())


def test_language_without_a_file_gets_english() -> None:
    assert get_square(68, "pt") == get_square(68, "en")


@pytest.mark.parametrize("number", [0, 73, -1])
def test_get_square_with_a_number_off_the_board_raises(number: int) -> None:
    with pytest.raises(ValueError, match="no square"):
        get_square(number, "en")


def every_move() -> list[Move]:
    games = [Game(number, waiting=False) for number in range(1, LAST_SQUARE + 1) if number != 68]
    third_six = Game(42, waiting=False, sixes=2, before_sixes=(30, False))
    sent_outside = Game(8, waiting=False, sixes=2)
    return [
        *(apply_roll(game, rolled) for game in (*games, Game()) for rolled in range(1, 7)),
        apply_roll(third_six, 6),
        apply_roll(sent_outside, 6),
    ]


@pytest.mark.parametrize("language", TEXTS.languages)
def test_caption_of_every_move_has_its_texts_and_fits_under_a_photo(language: str) -> None:
    awaited: tuple[Awaits, ...] = ("roll", "dice", "report", "reply")
    for move in every_move():
        for awaits in awaited:
            caption = move_caption(TEXTS, language, move, awaits)
            assert "leela." not in caption
            assert f"🎲 {move.roll}" in caption
            assert len(TEXTS.t(language, "leela.resumed")) + len(caption) + 4 < CAPTION
        assert "leela." not in template_reply(TEXTS, move, "One. A longer sentence <here>.", language)
    intro = TEXTS.t(language, "leela.intro", count=MIN_REPORT_LENGTH)
    assert len(intro) + len(next_step_text(TEXTS, language, "roll")) + 4 < CAPTION


def test_caption_of_three_sixes_says_where_the_piece_went() -> None:
    back, outside = every_move()[-2:]
    assert "from 42 back to 30" in move_caption(TEXTS, "en", back, "report")
    assert "outside again, on 68" in move_caption(TEXTS, "en", outside, "roll")


def test_long_path_fits_under_a_photo() -> None:
    moves = every_move() * 3
    assert len(path_text(moves)) <= 700
    assert path_text([apply_roll(Game(), 6), apply_roll(Game(6, waiting=False), 4)]) == "68 → 6 → 10 🏹 23"


def test_template_reply_quotes_a_sentence_escaped_and_uncut() -> None:
    move = apply_roll(Game(20, waiting=False), 4)
    report = "Short. " + "I <b>think</b> of my brother & of the winter " * 10
    reply = template_reply(TEXTS, move, report, "en")
    assert "&lt;b&gt;think&lt;/b&gt;" in reply
    quote = unescape(reply.partition("<blockquote>")[2].partition("</blockquote>")[0])
    assert 100 < len(quote) <= 161
    assert report.partition(". ")[2].startswith(f"{quote.removesuffix('…')} ")
    assert reply == template_reply(TEXTS, move, report, "en")
