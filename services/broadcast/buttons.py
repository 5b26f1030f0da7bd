"""The buttons of a broadcast: under its card while it is put together, and under its progress."""

from uuid import UUID

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from services.broadcast.content import FOR_ALL
from services.core.i18n import Texts
from services.messaging.buttons import button, keyboard
from storage.messaging.broadcasts import Broadcast


class BroadcastCallback(CallbackData, prefix="bc"):
    """What to do with which broadcast; `value` is a version, or what an audience is narrowed by."""

    id: UUID
    action: str
    value: str = ""


def progress_keyboard(
    texts: Texts, language: str, broadcast: Broadcast, versions: list[str]
) -> InlineKeyboardMarkup:
    """What can be done now. `versions` are those that an edit can change."""

    def action_button(action: str, value: str = "") -> InlineKeyboardButton:
        label = texts.t(language, f"broadcast.button.{action}")
        if len(versions) > 1 and value:
            label += f" · {texts.t(language, 'broadcast.for_all') if value == FOR_ALL else value}"
        return button(label, BroadcastCallback(id=broadcast.id, action=action, value=value))

    if broadcast.state == "running":
        return keyboard([[action_button("pause"), action_button("stop")]])
    if broadcast.state == "paused":
        return keyboard([[action_button("resume"), action_button("stop")]])
    return keyboard([*([action_button("edit", version)] for version in versions), [action_button("delete")]])
