"""Methods about chats and their members."""

from typing import Any

from aiogram.methods import GetChat, GetChatMember

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.errors import bad_request

Json = dict[str, Any]


@handles(GetChat)
def get_chat(call: ApiCall, method: GetChat) -> Json:
    chat = call.get_chat(method.chat_id)
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    full: Json = {
        **chat.description,
        "accent_color_id": abs(chat.id) % 7,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(gifts, False),
    }
    if chat.pinned:
        full["pinned_message"] = chat.entries[chat.pinned[-1]].message
    return full


@handles(GetChatMember)
def get_chat_member(call: ApiCall, method: GetChatMember) -> Json:
    chat = call.get_chat(method.chat_id)
    if method.user_id == call.bot.id:
        return {"status": "member", "user": call.bot.to_telegram_user()}
    user = call.state.users.get(method.user_id)
    if user is None:
        raise bad_request("PARTICIPANT_ID_INVALID")
    wrote = any(e.message["from"]["id"] == user.id for e in chat.entries.values())
    return {"status": "member" if wrote or chat.id == user.id else "left", "user": user.to_telegram_user()}
