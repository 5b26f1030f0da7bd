"""`/user` and `/grant`: admins look at a user, add notes, block or unblock them, and give them credits."""

from typing import Final

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, Message

from handlers.admin.access import is_admin
from handlers.admin.refunds import refund_button
from handlers.context import UserContext, View, answer_callback
from handlers.views import STATE_EMOJI, menu_row, service_name
from services.admin.user_admin import UserOverview, add_user_note, find_user, get_user_overview, set_user_blocked
from services.billing.bonuses import MAX_BONUS_CREDITS, give_bonus_credits
from services.generation.registry import SERVICES
from services.messaging.buttons import button, keyboard
from storage.jobs.jobs import Job

router = Router(name="user_card")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_MAX_ROWS: Final = 5
_MAX_NOTES_CHARS: Final = 1500
_MAX_REASON_CHARS: Final = 500
_MAX_CREDITS_DIGITS: Final = 17
_TIME_FORMAT: Final = "%Y-%m-%d %H:%M"


class UserCallback(CallbackData, prefix="us"):
    """A button on a user's card.

    Attributes:
        action: `block` or `unblock`.
        user: The user.
    """

    action: str
    user: int


async def show_user(ctx: UserContext, args: str) -> None:
    """Show a user's card. If a note is given, add it first.

    Args:
        ctx: The admin.
        args: `<id or @username>` or `<id or @username> note <text>`; anything else is answered with the usage.
    """
    id_or_username, _, rest = args.strip().partition(" ")
    word, _, note = rest.strip().partition(" ")
    if not id_or_username or (word and (word != "note" or not note.strip())):
        await ctx.send(ctx.t("user.usage"))
        return
    user = await find_user(ctx.db, id_or_username)
    if user is not None and note:
        await add_user_note(ctx.db, user.id, note, admin_id=ctx.user.id)
    overview = await get_user_overview(ctx.db, user.id, limit=_MAX_ROWS) if user is not None else None
    if overview is None:
        await ctx.send(ctx.t("user.unknown"))
    else:
        await ctx.send(*_user_view(ctx, overview))


async def grant(ctx: UserContext, args: str, *, key: str | None = None) -> None:
    """Give a user a bonus.

    Args:
        ctx: The admin.
        args: `<id or @username> <credits> [reason]`; anything else is answered with the usage.
        key: Identifies the message with the command, so that it gives the bonus only once, even if its update is
            processed again. If None, nothing is given and the usage is sent.
    """
    id_or_username, _, rest = args.strip().partition(" ")
    number, _, reason = rest.strip().partition(" ")
    is_number = number.isascii() and number.isdigit() and len(number) <= _MAX_CREDITS_DIGITS
    credits = int(number) if is_number else 0
    if key is None or not 1 <= credits <= MAX_BONUS_CREDITS:
        await ctx.send(ctx.t("grant.usage", most=MAX_BONUS_CREDITS))
        return
    user = await find_user(ctx.db, id_or_username)
    if user is None:
        await ctx.send(ctx.t("user.unknown"))
        return
    granted = await give_bonus_credits(
        ctx.db,
        key=key,
        user_id=user.id,
        credits=credits,
        admin_id=ctx.user.id,
        reason=" ".join(reason.split())[:_MAX_REASON_CHARS],
    )
    ctx.publisher.wake()
    await ctx.send(ctx.t("grant.done", credits, user=user.id) if granted else ctx.t("grant.before"))


@router.message(Command("user"))
async def _user(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """Show a user's balance, orders, payments and notes; block or unblock them."""
    await show_user(ctx, command.args or "")


@router.message(Command("grant"))
async def _grant(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """Give a user credits."""
    key = f"{ctx.bot.id}:{message.chat.id}:{message.message_id}"
    await grant(ctx, command.args or "", key=key)


@router.callback_query(UserCallback.filter(F.action.in_({"block", "unblock"})))
async def _block_or_unblock(callback: CallbackQuery, ctx: UserContext, callback_data: UserCallback) -> None:
    blocked = callback_data.action == "block"
    if blocked and callback_data.user in ctx.app.admins:
        await answer_callback(callback, ctx.t("user.is_admin"), alert=True)
        return
    await set_user_blocked(ctx.db, callback_data.user, blocked=blocked, admin_id=ctx.user.id)
    await answer_callback(callback, ctx.t(f"user.{callback_data.action}ed"))
    if overview := await get_user_overview(ctx.db, callback_data.user, limit=_MAX_ROWS):
        await ctx.edit_or_send(callback, *_user_view(ctx, overview))


def _user_view(ctx: UserContext, overview: UserOverview) -> View:
    user, card = overview.user, overview.card
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
    if overview.jobs:
        lines += ["", ctx.t("user.orders"), *(_job_line(ctx, job) for job in overview.jobs)]
    if card.notes:
        lines += ["", ctx.t("user.notes", notes=card.notes[-_MAX_NOTES_CHARS:])]
    change = "unblock" if user.blocked else "block"
    rows = [[refund_button(payment)] for payment in overview.payments]
    rows.append([button(ctx.t(f"user.button.{change}"), UserCallback(action=change, user=user.id))])
    return "\n".join(lines), keyboard([*rows, menu_row(ctx)])


def _job_line(ctx: UserContext, job: Job) -> str:
    spec = SERVICES.get(job.service)
    name = service_name(ctx, spec) if spec else job.service
    return f"{STATE_EMOJI[job.state]} {job.created_at:{_TIME_FORMAT}} {name} · {job.price} ⭐"
