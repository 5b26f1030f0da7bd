"""`/user` and `/grant`: what admins see of a person, and what they do for and about them."""

from datetime import UTC, datetime

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from loguru import logger

from handlers.admin.access import is_admin
from handlers.admin.refunds import refund_button
from handlers.context import UserContext, answer_callback
from services.billing.bonuses import MAX_BONUS_CREDITS, give_bonus_credits
from services.generation.registry import SERVICES
from services.messaging.buttons import button, keyboard, menu_button
from services.messaging.progress import truncate
from storage.jobs.jobs import Job, latest_user_jobs
from storage.money.payments import user_payments
from storage.reports.user_card import get_user_card
from storage.users.users import User, add_note, find_user_id, get_user, set_blocked

router = Router(name="user_card")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_MAX_ROWS = 5
_MAX_NOTES_CHARS = 1500
_MAX_NOTE_CHARS = 500
_MAX_ID_DIGITS = 18
_TIME_FORMAT = "%Y-%m-%d %H:%M"
_STATE_EMOJI = {"queued": "⏳", "running": "⏳", "succeeded": "✅", "failed": "❌", "cancelled": "✖️"}


class UserCallback(CallbackData, prefix="us"):
    """On a person's card: `block` or `unblock`."""

    action: str
    user: int


async def find_by_id_or_username(ctx: UserContext, id_or_username: str) -> User | None:
    """The person with that id or @username."""
    if id_or_username.startswith("@"):
        user_id = await find_user_id(ctx.app.db, id_or_username[1:])
    else:
        user_id = (
            int(id_or_username)
            if id_or_username.isascii() and id_or_username.isdigit() and len(id_or_username) <= _MAX_ID_DIGITS
            else None
        )
    return None if user_id is None else await get_user(ctx.app.db, user_id)


async def user_card_view(ctx: UserContext, user: User) -> tuple[str, InlineKeyboardMarkup]:
    db = ctx.app.db
    card, payments = await get_user_card(db, user.id), await user_payments(db, user.id, limit=_MAX_ROWS)
    assert card is not None  # noqa: S101 - people are never deleted
    state = "blocked" if user.blocked else "active" if user.active else "inactive"
    name = f"{user.first_name} @{user.username}" if user.username else user.first_name
    lines = [
        ctx.t("user.card", id=user.id, name=name, state=ctx.t(f"user.state.{state}"), language=user.language),
        ctx.t("user.since", since=f"{card.created_at:{_TIME_FORMAT}}", seen=f"{card.last_seen_at:{_TIME_FORMAT}}"),
        ctx.t("user.credits", available=card.available, held=card.held, debt=card.debt),
        ctx.t("user.totals", orders=card.orders, made=card.succeeded, paid=card.paid, refunded=card.refunded),
    ]
    if user.discount:
        lines.append(ctx.t("user.discount", discount=user.discount))
    if card.invited_by:
        lines.append(ctx.t("user.invited", by=card.invited_by))
    if jobs := await latest_user_jobs(db, user.id, limit=_MAX_ROWS):
        lines += ["", ctx.t("user.orders"), *(_job_line(ctx, job) for job in jobs)]
    if card.notes:
        lines += ["", ctx.t("user.notes", notes=card.notes[-_MAX_NOTES_CHARS:])]
    change = "unblock" if user.blocked else "block"
    rows = [[refund_button(charge)] for charge in payments]
    rows.append([button(ctx.t(f"user.button.{change}"), UserCallback(action=change, user=user.id))])
    return "\n".join(lines), keyboard([*rows, [menu_button(ctx.app.texts, ctx.user.language)]])


def _job_line(ctx: UserContext, job: Job) -> str:
    spec = SERVICES.get(job.service)
    name = f"{spec.emoji} {ctx.t(f'service.{spec.id}.name')}" if spec else job.service
    return f"{_STATE_EMOJI[job.state]} {job.created_at:{_TIME_FORMAT}} {name} · {job.price} ⭐"


@router.message(Command("user"))
async def _show_user(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """`/user <id or @username>` shows the card, `/user <id or @username> note <text>` writes a note."""
    who, _, rest = (command.args or "").strip().partition(" ")
    word, _, note = rest.strip().partition(" ")
    if not who or (word and (word != "note" or not note.strip())):
        await ctx.send(ctx.t("user.usage"))
        return
    user = await find_by_id_or_username(ctx, who)
    if user is None:
        await ctx.send(ctx.t("user.unknown"))
        return
    if note:
        text = truncate(" ".join(note.split()), _MAX_NOTE_CHARS)
        await add_note(ctx.app.db, user.id, f"{datetime.now(UTC):%Y-%m-%d} {ctx.user.id}: {text}")
    await ctx.send(*await user_card_view(ctx, user))


@router.callback_query(UserCallback.filter(F.action.in_({"block", "unblock"})))
async def _block_or_unblock(callback: CallbackQuery, ctx: UserContext, callback_data: UserCallback) -> None:
    """Running orders end as they would; what they send from now on is answered by the middlewares."""
    blocked = callback_data.action == "block"
    if blocked and callback_data.user in ctx.app.admins:
        await answer_callback(callback, ctx.t("user.is_admin"), alert=True)
        return
    if await set_blocked(ctx.app.db, callback_data.user, blocked=blocked):
        logger.info("admin {} {}s {}", ctx.user.id, callback_data.action, callback_data.user)
    await answer_callback(callback, ctx.t(f"user.{callback_data.action}ed"))
    if user := await get_user(ctx.app.db, callback_data.user):
        await ctx.edit_or_send(callback, *await user_card_view(ctx, user))


@router.message(Command("grant"))
async def _grant(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """`/grant <id or @username> <stars> [reason]`: credits that nobody paid for. The same message gives once."""
    who, _, rest = (command.args or "").strip().partition(" ")
    number, _, reason = rest.strip().partition(" ")
    stars = int(number) if number.isascii() and number.isdigit() and len(number) < _MAX_ID_DIGITS else 0
    if not 1 <= stars <= MAX_BONUS_CREDITS:
        await ctx.send(ctx.t("grant.usage", most=MAX_BONUS_CREDITS))
        return
    user = await find_by_id_or_username(ctx, who)
    if user is None:
        await ctx.send(ctx.t("user.unknown"))
        return
    key, reason = (
        f"{ctx.bot.id}:{message.chat.id}:{message.message_id}",
        " ".join(reason.split())[:_MAX_NOTE_CHARS],
    )
    granted = await give_bonus_credits(
        ctx.app, key=key, user_id=user.id, credits=stars, admin_id=ctx.user.id, reason=reason
    )
    ctx.dispatcher.publisher.wake()
    await ctx.send(ctx.t("grant.done", stars, user=user.id) if granted else ctx.t("grant.before"))
