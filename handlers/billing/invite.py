"""Inviting friends: the link, and what it has brought so far."""

from urllib.parse import urlencode

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message
from aiogram.utils.deep_linking import create_start_link

from handlers.context import Desk, answer
from handlers.order.views import View
from services.billing.referrals import BONUS, invite_payload
from services.messaging.buttons import MenuTap, keyboard, menu_button
from storage.users.referrals import count_invited

router = Router(name="invite")


@router.message(Command("invite"))
async def invite(message: Message, desk: Desk) -> None:
    await desk.say(*await _view(desk))


@router.callback_query(MenuTap.filter(F.place == "invite"))
async def go_to_invite(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *await _view(desk))


async def _view(desk: Desk) -> View:
    link = await create_start_link(desk.bot, invite_payload(desk.user.id))
    invited = await count_invited(desk.studio.db, desk.user.id)
    lines = [desk.t("invite.link", link=link), "", desk.t("invite.bonus", BONUS)]
    came = desk.t("invite.came", invited.came, rewarded=invited.rewarded)
    lines.append(came if invited.came else desk.t("invite.nobody"))
    # https://core.telegram.org/widgets/share
    share = f"https://t.me/share/url?{urlencode({'url': link, 'text': desk.t('invite.words')})}"
    rows = [[InlineKeyboardButton(text=desk.t("button.share"), url=share)]]
    return "\n".join(lines), keyboard([*rows, [menu_button(desk.studio.texts, desk.user.language)]])
