"""The buttons under a broadcast's progress: pause, resume, stop; and taking back what was sent."""

from aiogram import F, Router
from aiogram.types import CallbackQuery

from handlers.admin.access import is_admin
from handlers.context import Desk, answer
from services.broadcast.buttons import BroadcastTap
from services.broadcast.control import resume, revise
from services.broadcast.progress import show_progress
from services.core.errors import Refused
from services.messaging.buttons import button, keyboard
from storage.messaging.broadcasts import Broadcast, get_broadcast, pause_broadcast, stop_broadcast

router = Router(name="broadcast control")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)


@router.callback_query(BroadcastTap.filter(F.action.in_({"pause", "stop", "resume", "delete_sure"})))
async def control(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap) -> None:
    """Whatever the button says, if it still can be done; the progress then shows how it stands."""
    db = desk.studio.db
    broadcast = await get_broadcast(db, callback_data.id)
    if broadcast is None:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    try:
        changed = await _do(desk, broadcast, callback_data.action)
    except Refused as refused:
        await answer(tap, desk.t(refused.key, **refused.params), alert=True)
        return
    await answer(tap)
    await show_progress(desk.studio, changed or (await get_broadcast(db, broadcast.id)) or broadcast)


async def _do(desk: Desk, broadcast: Broadcast, action: str) -> Broadcast | None:
    db, language = desk.studio.db, desk.user.language
    match action:
        case "pause":
            return await pause_broadcast(db, broadcast.id)
        case "stop":
            return await stop_broadcast(db, broadcast.id)
        case "resume":
            changed = await resume(db, broadcast, language)
        case _:
            changed = await revise(db, broadcast, "delete", {}, language)
    desk.dispatcher.relay.poke()
    return changed


@router.callback_query(BroadcastTap.filter(F.action == "delete"))
async def confirm_delete(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap) -> None:
    await answer(tap)
    sure = BroadcastTap(id=callback_data.id, action="delete_sure")
    await desk.say(
        desk.t("broadcast.confirm_delete"), keyboard([[button(desk.t("broadcast.button.delete"), sure)]])
    )
