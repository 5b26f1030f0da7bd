"""Methods about chats and their members."""

from typing import Any

from aiogram.methods import GetChat, GetChatMember

from sandbox.telegram.api.call import Call, carries_out
from sandbox.telegram.errors import bad_request

Json = dict[str, Any]


@carries_out(GetChat)
def get_chat(call: Call, method: GetChat) -> Json:
    chat = call.chat(method.chat_id)
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


@carries_out(GetChatMember)
def get_chat_member(call: Call, method: GetChatMember) -> Json:
    chat = call.chat(method.chat_id)
    if method.user_id == call.bot.id:
        return {"status": "member", "user": call.bot.user()}
    person = call.world.people.get(method.user_id)
    if person is None:
        raise bad_request("PARTICIPANT_ID_INVALID")
    wrote = any(e.message["from"]["id"] == person.id for e in chat.entries.values())
    return {"status": "member" if wrote or chat.id == person.id else "left", "user": person.user()}
