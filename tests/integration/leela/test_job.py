"""The internal job of a game, on a real database and a bot in memory: a roll, a report, a reply."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError
from aiogram.methods import GetMe

from providers.protocols import ModerationResult
from sandbox.providers.language import OfflineText
from services.core.errors import Failure
from services.core.i18n import Texts
from services.jobs.internal_jobs import InternalJobContext
from services.leela import play
from services.leela.job import GameJob
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from storage.jobs.jobs import Job, get_job
from storage.leela import GameRow, get_moves
from storage.pool import Pool
from tests.support.test_data.factories import add_user

USER = 1001
REPORT = "I think of my brother, and of the winter in which we did not talk to each other."


@dataclass
class FakeBot:
    """Throws the given dice, and records what it sends."""

    rolls: list[int] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    edits: dict[int, str] = field(default_factory=dict)
    blocked: bool = False
    gone: set[int] = field(default_factory=set)

    async def send_dice(self, chat_id: int) -> Any:
        if self.blocked:
            raise TelegramForbiddenError(GetMe(), "Forbidden: bot was blocked by the user")
        return SimpleNamespace(dice=SimpleNamespace(value=self.rolls.pop(0)))

    async def send_photo(self, chat_id: int, photo: Any, *, caption: str, **options: Any) -> Any:
        self.captions.append(caption)
        return SimpleNamespace(message_id=1)

    async def send_message(self, chat_id: int, text: str, **options: Any) -> Any:
        self.texts.append(text)
        return SimpleNamespace(message_id=2)

    async def edit_message_text(self, text: str, *, chat_id: int, message_id: int, **options: Any) -> None:
        if message_id in self.gone:
            raise TelegramBadRequest(GetMe(), "Bad Request: message to edit not found")
        self.edits[message_id] = text


class StepsWithRethrow:
    """Steps without a journal. With `died`, an earlier process died during the throw of the die."""

    def __init__(self, *, died: bool = False) -> None:
        self._died = died

    async def run(
        self, step: str, work: Callable[[], Awaitable[Any]], *, reconcile: Any = None, **options: Any
    ) -> Any:
        if reconcile is not None and self._died:
            assert await reconcile(datetime.now(UTC)) is None
        return await work()

    async def sleep(self, step: str, seconds: float) -> None:
        return None


@dataclass
class Player:
    db: Pool
    bot: FakeBot = field(default_factory=FakeBot)
    moderation: ModerationResult = field(default_factory=lambda: ModerationResult(allowed=True))

    async def game(self) -> GameRow:
        return await play.get_or_start_game(self.db, USER, "main")

    async def roll(self, value: int, *, died: bool = False) -> None:
        self.bot.rolls.append(value)
        game = await self.game()
        assert await play.request_roll(self.db, game, game.moves, bot_name="main", language="en")
        await self.run_job(died=died)

    async def report(self, placeholder_id: int | None = 50) -> None:
        game = await self.game()
        assert await play.save_report(
            self.db, game, REPORT, bot_name="main", language="en", placeholder_id=placeholder_id
        )
        await self.run_job()

    async def run_job(self, *, died: bool = False) -> dict[str, Any]:
        """Run the internal job that was enqueued last."""

        async def moderate(text: str) -> ModerationResult:
            return self.moderation

        providers = SimpleNamespace(text=OfflineText(), moderation=SimpleNamespace(moderate=moderate))
        messenger = Messenger(self.db, Bots({"main": cast("Any", self.bot)}), Texts())
        job = await self.last_job()
        steps = cast("Any", StepsWithRethrow(died=died))
        game_job = GameJob(self.db, messenger, cast("Any", providers), dice_seconds=0)
        return await game_job.run(InternalJobContext(job, steps))

    async def last_job(self) -> Job:
        job = await get_job(
            self.db, await self.db.fetchval("SELECT id FROM jobs ORDER BY created_at DESC LIMIT 1")
        )
        assert job is not None
        return job


@pytest.fixture
async def player(db: Pool) -> Player:
    await add_user(db, USER)
    return Player(db)


async def test_roll_makes_one_move_and_shows_it(player: Player) -> None:
    await player.roll(6)
    assert [(move.roll, move.square) for move in await get_moves(player.db, (await player.game()).id)] == [(6, 6)]
    assert "enters the game on 6" in player.bot.captions[0]
    assert (await player.game()).awaits == "report"
    assert not await play.request_roll(player.db, await player.game(), 1, bot_name="main", language="en")


async def test_job_that_runs_again_moves_once(player: Player) -> None:
    await player.roll(6)
    player.bot.rolls.append(5)
    await player.run_job()
    assert len(await get_moves(player.db, (await player.game()).id)) == 1


async def test_second_throw_after_a_crash_is_explained(player: Player) -> None:
    await player.roll(6, died=True)
    assert "If you saw two dice" in player.bot.captions[0]


async def test_failed_roll_can_be_repeated(player: Player) -> None:
    player.bot.blocked = True
    with pytest.raises(Failure):
        await player.roll(6)
    game = await player.game()
    assert (game.awaits, game.moves) == ("roll", 0)


async def test_reply_replaces_the_placeholder(player: Player) -> None:
    await player.roll(6)
    await player.report()
    assert "One question to take along" in player.bot.edits[50]
    assert not player.bot.texts
    assert (await player.game()).awaits == "roll"


async def test_reply_is_sent_if_the_placeholder_is_gone(player: Player) -> None:
    await player.roll(6)
    player.bot.gone = {50}
    await player.report()
    assert "One question to take along" in player.bot.texts[0]


@pytest.mark.parametrize(
    ("categories", "awaits", "text"),
    [
        (("violence",), "report", "they go against the rules"),
        (("self-harm", "self-harm/intent"), "roll", "you need not carry it alone"),
        (("self-harm", "self-harm/instructions"), "report", "they go against the rules"),
    ],
)
async def test_report_flagged_by_moderation_is_answered_by_category(
    player: Player, categories: tuple[str, ...], awaits: str, text: str
) -> None:
    player.moderation = ModerationResult(allowed=False, categories=categories)
    await player.roll(6)
    await player.report()
    assert text in player.bot.edits[50]
    assert (await player.game()).awaits == awaits


async def test_restart_ends_the_game(player: Player) -> None:
    await player.roll(6)
    first = await player.game()
    second = await play.restart_game(player.db, first.id, USER, "main")
    assert (second.moves, second.awaits) == (0, "roll")
    assert (await play.restart_game(player.db, first.id, USER, "main")).id == second.id
    ended = await play.find_game(player.db, first.id, USER)
    assert ended is not None
    assert ended.ended
    assert await play.find_game(player.db, first.id, USER + 1) is None
