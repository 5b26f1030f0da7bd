"""`/user` and `/grant`: what admins see of a person, and what they do for and about them."""

from datetime import UTC, datetime

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from loguru import logger

from handlers.admin.access import is_admin
from handlers.admin.refunds import refund_button
from handlers.context import Desk, answer
from services.billing.bonuses import MOST, grant
from services.generation.registry import SERVICES
from services.messaging.buttons import button, keyboard, menu_button
from services.messaging.progress import shorten
from storage.jobs.jobs import Job, latest_jobs
from storage.money.payments import charges_of
from storage.users.user_cards import add_note, find_user, get_user_card, set_blocked
from storage.users.users import User, get_user

router = Router(name="user_card")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_SHOWN = 5
_NOTES_SHOWN = 1500
_NOTE_LONGEST = 500
_LONGEST_ID = 18
_TIME = "%Y-%m-%d %H:%M"
_MARKS = {"queued": "⏳", "running": "⏳", "succeeded": "✅", "failed": "❌", "cancelled": "✖️"}


class UserTap(CallbackData, prefix="us"):
    """On a person's card: `block` or `unblock`."""

    action: str
    user: int


async def find(desk: Desk, word: str) -> User | None:
    """The person with that id or @username."""
    if word.startswith("@"):
        user_id = await find_user(desk.studio.db, word[1:])
    else:
        user_id = int(word) if word.isascii() and word.isdigit() and len(word) <= _LONGEST_ID else None
    return None if user_id is None else await get_user(desk.studio.db, user_id)


async def user_card(desk: Desk, user: User) -> tuple[str, InlineKeyboardMarkup]:
    db = desk.studio.db
    card, charges = await get_user_card(db, user.id), await charges_of(db, user.id, limit=_SHOWN)
    assert card is not None  # noqa: S101 - people are never deleted
    state = "blocked" if user.blocked else "active" if user.active else "inactive"
    name = f"{user.first_name} @{user.username}" if user.username else user.first_name
    lines = [
        desk.t("user.card", id=user.id, name=name, state=desk.t(f"user.state.{state}"), language=user.language),
        desk.t("user.since", since=f"{card.created_at:{_TIME}}", seen=f"{card.seen_at:{_TIME}}"),
        desk.t("user.credits", available=card.available, held=card.held, debt=card.debt),
        desk.t("user.totals", orders=card.orders, made=card.succeeded, paid=card.paid, refunded=card.refunded),
    ]
    if user.discount:
        lines.append(desk.t("user.discount", discount=user.discount))
    if card.invited_by:
        lines.append(desk.t("user.invited", by=card.invited_by))
    if jobs := await latest_jobs(db, user.id, limit=_SHOWN):
        lines += ["", desk.t("user.orders"), *(_job_line(desk, job) for job in jobs)]
    if card.notes:
        lines += ["", desk.t("user.notes", notes=card.notes[-_NOTES_SHOWN:])]
    change = "unblock" if user.blocked else "block"
    rows = [[refund_button(charge)] for charge in charges]
    rows.append([button(desk.t(f"user.button.{change}"), UserTap(action=change, user=user.id))])
    return "\n".join(lines), keyboard([*rows, [menu_button(desk.studio.texts, desk.user.language)]])


def _job_line(desk: Desk, job: Job) -> str:
    spec = SERVICES.get(job.service)
    name = f"{spec.emoji} {desk.t(f'service.{spec.id}.name')}" if spec else job.service
    return f"{_MARKS[job.state]} {job.created_at:{_TIME}} {name} · {job.price} ⭐"


@router.message(Command("user"))
async def show_user(message: Message, desk: Desk, command: CommandObject) -> None:
    """`/user <id or @username>` shows the card, `/user <id or @username> note <text>` writes a note."""
    who, _, rest = (command.args or "").strip().partition(" ")
    word, _, note = rest.strip().partition(" ")
    if not who or (word and (word != "note" or not note.strip())):
        await desk.say(desk.t("user.usage"))
        return
    user = await find(desk, who)
    if user is None:
        await desk.say(desk.t("user.unknown"))
        return
    if note:
        text = shorten(" ".join(note.split()), _NOTE_LONGEST)
        await add_note(desk.studio.db, user.id, f"{datetime.now(UTC):%Y-%m-%d} {desk.user.id}: {text}")
    await desk.say(*await user_card(desk, user))


@router.callback_query(UserTap.filter(F.action.in_({"block", "unblock"})))
async def block(tap: CallbackQuery, desk: Desk, callback_data: UserTap) -> None:
    """Running orders end as they would; what they send from now on is answered by the middlewares."""
    blocked = callback_data.action == "block"
    if blocked and callback_data.user in desk.studio.admins:
        await answer(tap, desk.t("user.is_admin"), alert=True)
        return
    if await set_blocked(desk.studio.db, callback_data.user, blocked=blocked):
        logger.info("admin {} {}s {}", desk.user.id, callback_data.action, callback_data.user)
    await answer(tap, desk.t(f"user.{callback_data.action}ed"))
    if user := await get_user(desk.studio.db, callback_data.user):
        await desk.show(tap, *await user_card(desk, user))


@router.message(Command("grant"))
async def give(message: Message, desk: Desk, command: CommandObject) -> None:
    """`/grant <id or @username> <stars> [reason]`: credits that nobody paid for. The same message gives once."""
    who, _, rest = (command.args or "").strip().partition(" ")
    number, _, reason = rest.strip().partition(" ")
    stars = int(number) if number.isascii() and number.isdigit() and len(number) < _LONGEST_ID else 0
    if not 1 <= stars <= MOST:
        await desk.say(desk.t("grant.usage", most=MOST))
        return
    user = await find(desk, who)
    if user is None:
        await desk.say(desk.t("user.unknown"))
        return
    key, reason = f"{desk.bot.id}:{message.chat.id}:{message.message_id}", " ".join(reason.split())[:_NOTE_LONGEST]
    given = await grant(desk.studio, key=key, user_id=user.id, stars=stars, admin=desk.user.id, reason=reason)
    desk.dispatcher.relay.poke()
    await desk.say(desk.t("grant.done", stars, user=user.id) if given else desk.t("grant.before"))
