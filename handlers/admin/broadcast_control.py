"""The buttons under a broadcast's progress: pause, resume, stop; and taking back what was sent."""

from aiogram import F, Router
from aiogram.types import CallbackQuery

from handlers.admin.access import is_admin
from handlers.context import UserContext, answer_callback
from services.broadcast.buttons import BroadcastCallback
from services.broadcast.control import edit_or_delete, resume
from services.broadcast.progress import show_progress
from services.core.errors import InvalidRequest
from services.messaging.buttons import button, keyboard
from storage.messaging.broadcasts import Broadcast, get_broadcast, pause_broadcast, stop_broadcast

router = Router(name="broadcast control")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)


@router.callback_query(BroadcastCallback.filter(F.action.in_({"pause", "stop", "resume", "delete_sure"})))
async def _control(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    """Whatever the button says, if it still can be done; the progress then shows how it stands."""
    db = ctx.app.db
    broadcast = await get_broadcast(db, callback_data.id)
    if broadcast is None:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    try:
        changed = await _apply_action(ctx, broadcast, callback_data.action)
    except InvalidRequest as refused:
        await answer_callback(callback, ctx.t(refused.key, **refused.params), alert=True)
        return
    await answer_callback(callback)
    await show_progress(ctx.app, changed or (await get_broadcast(db, broadcast.id)) or broadcast)


async def _apply_action(ctx: UserContext, broadcast: Broadcast, action: str) -> Broadcast | None:
    db, language = ctx.app.db, ctx.user.language
    match action:
        case "pause":
            return await pause_broadcast(db, broadcast.id)
        case "stop":
            return await stop_broadcast(db, broadcast.id)
        case "resume":
            changed = await resume(db, broadcast, language)
        case _:
            changed = await edit_or_delete(db, broadcast, "delete", {}, language)
    ctx.dispatcher.publisher.wake()
    return changed


@router.callback_query(BroadcastCallback.filter(F.action == "delete"))
async def _confirm_delete(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    await answer_callback(callback)
    sure = BroadcastCallback(id=callback_data.id, action="delete_sure")
    await ctx.send(ctx.t("broadcast.confirm_delete"), keyboard([[button(ctx.t("broadcast.button.delete"), sure)]]))
