"""What a broadcast says: the admin's next message, an album, lines that become buttons; an edit's new words."""

import asyncio
from uuid import UUID

from aiogram import F, Router
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, Message

from handlers.admin.access import is_admin
from handlers.admin.broadcast_card import card, version_name
from handlers.context import Desk, answer
from services.broadcast.buttons import BroadcastTap
from services.broadcast.content import FOR_ALL, Content, content_of, read_buttons, versions_of
from services.broadcast.control import revise
from services.broadcast.progress import show_progress
from services.core.errors import Refused
from storage.messaging.broadcasts import Broadcast, get_broadcast, set_content

router = Router(name="broadcast content")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_ALBUM_SECONDS = 1.0
_NO_COMMAND = ~F.text.startswith("/")
"""A command ends nothing here: it goes to its own handler."""


class Broadcasting(StatesGroup):
    writing = State()
    """The next message is the broadcast's."""
    album = State()
    """The first message of an album is there; the others come."""
    links = State()
    """The next message's lines become buttons."""
    editing = State()
    """The next message holds the new words of what was sent."""


@router.callback_query(BroadcastTap.filter(F.action.in_({"write", "links", "edit"})))
async def ask(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap, state: FSMContext) -> None:
    broadcast = await get_broadcast(desk.studio.db, callback_data.id)
    editing, key = callback_data.action == "edit", callback_data.value
    states = ("stopped", "done") if editing else ("draft",)
    known = key == FOR_ALL or key in desk.studio.texts.languages
    if broadcast is None or broadcast.state not in states or not known:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap)
    asked = {"write": Broadcasting.writing, "links": Broadcasting.links, "edit": Broadcasting.editing}
    await state.set_data({"broadcast": str(broadcast.id), "version": key})
    await state.set_state(asked[callback_data.action])
    await desk.say(desk.t(f"broadcast.ask.{callback_data.action}", version=version_name(desk, key)))


async def _asked_of(desk: Desk, state: FSMContext) -> tuple[Broadcast, str] | None:
    """The broadcast that the conversation is about, and the version; None, and said so, where it is gone."""
    data = await state.get_data()
    broadcast = await get_broadcast(desk.studio.db, UUID(data["broadcast"])) if "broadcast" in data else None
    if broadcast is None:
        await state.clear()
        await desk.say(desk.t("stale.button"))
        return None
    return broadcast, data["version"]


@router.message(Broadcasting.writing, _NO_COMMAND)
async def take_message(message: Message, desk: Desk, state: FSMContext) -> None:
    if (asked := await _asked_of(desk, state)) is None:
        return
    broadcast, key = asked
    content = content_of(message)
    if content.album:
        await state.update_data(album=content.album)
        await state.set_state(Broadcasting.album)
        await _keep(desk, broadcast, key, content)
        desk.studio.background.spawn(_show_album(desk, state, broadcast.id), f"album-{desk.chat_id}")
        return
    await state.clear()
    before = versions_of(broadcast).get(key)
    if before is not None:
        content = content.model_copy(update={"buttons": before.buttons})
    await _say_card(desk, await _keep(desk, broadcast, key, content))


@router.message(Broadcasting.album, F.media_group_id)
async def take_more_of_album(message: Message, desk: Desk, state: FSMContext) -> None:
    if (await state.get_data()).get("album") != message.media_group_id:
        raise SkipHandler
    if (asked := await _asked_of(desk, state)) is None:
        return
    broadcast, key = asked
    await _keep(desk, broadcast, key, versions_of(broadcast)[key].with_message(message))


async def _show_album(desk: Desk, state: FSMContext, broadcast_id: UUID) -> None:
    """Telegram sends an album as single messages and never says which is the last."""
    await asyncio.sleep(_ALBUM_SECONDS)
    await state.clear()
    await _say_card(desk, await get_broadcast(desk.studio.db, broadcast_id))


@router.message(Broadcasting.links, F.text, _NO_COMMAND)
async def take_links(message: Message, desk: Desk, state: FSMContext) -> None:
    if (asked := await _asked_of(desk, state)) is None:
        return
    broadcast, key = asked
    content = versions_of(broadcast).get(key)
    try:
        buttons = read_buttons(message.text or "")
    except Refused as refused:
        await desk.say(desk.t(refused.key, **refused.params))
        return
    await state.clear()
    if content is not None:
        await _say_card(desk, await _keep(desk, broadcast, key, content.model_copy(update={"buttons": buttons})))


@router.message(Broadcasting.editing, _NO_COMMAND)
async def take_edit(message: Message, desk: Desk, state: FSMContext) -> None:
    if (asked := await _asked_of(desk, state)) is None:
        return
    broadcast, key = asked
    written = message.text or message.caption
    if not written:
        await desk.say(desk.t("broadcast.edit_needs_words"))
        return
    await state.clear()
    change = {"version": key, "html": message.html_text}
    try:
        revised = await revise(desk.studio.db, broadcast, "edit", change, desk.user.language)
    except Refused as refused:
        await desk.say(desk.t(refused.key, **refused.params))
        return
    if revised is None:
        await desk.say(desk.t("stale.button"))
        return
    desk.dispatcher.relay.poke()
    await show_progress(desk.studio, revised)


async def _keep(desk: Desk, broadcast: Broadcast, key: str, content: Content) -> Broadcast | None:
    versions = {**broadcast.content, key: content.model_dump(mode="json")}
    return await set_content(desk.studio.db, broadcast.id, versions)


async def _say_card(desk: Desk, draft: Broadcast | None) -> None:
    if draft is None or draft.state != "draft":
        await desk.say(desk.t("stale.button"))
    else:
        await desk.say(*await card(desk, draft))
