"""`/invite`: the user's invitation link, and how many users came by it."""

from urllib.parse import urlencode

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message
from aiogram.utils.deep_linking import create_start_link

from handlers.context import UserContext, View, answer_callback
from handlers.views import menu_row
from services.billing.referrals import REFERRAL_BONUS, get_referral_counts, invite_payload
from services.messaging.buttons import MenuCallback, keyboard

router = Router(name="invite")


@router.message(Command("invite"))
async def _invite(message: Message, ctx: UserContext) -> None:
    """Create an invitation link."""
    await ctx.send(*await _invite_view(ctx))


@router.callback_query(MenuCallback.filter(F.place == "invite"))
async def _open_invite(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _invite_view(ctx))


async def _invite_view(ctx: UserContext) -> View:
    link = await create_start_link(ctx.bot, invite_payload(ctx.user.id))
    referrals = await get_referral_counts(ctx.db, ctx.user.id)
    invited_line = ctx.t("invite.came", referrals.invited, rewarded=referrals.rewarded)
    lines = [
        ctx.t("invite.link", link=link),
        "",
        ctx.t("invite.bonus", REFERRAL_BONUS),
        invited_line if referrals.invited else ctx.t("invite.nobody"),
    ]
    # https://core.telegram.org/widgets/share
    share = f"https://t.me/share/url?{urlencode({'url': link, 'text': ctx.t('invite.words')})}"
    rows = [[InlineKeyboardButton(text=ctx.t("button.share"), url=share)]]
    return "\n".join(lines), keyboard([*rows, menu_row(ctx)])
