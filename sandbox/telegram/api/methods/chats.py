"""Methods about chats and their members: https://core.telegram.org/bots/api#getchat."""

from aiogram.methods import GetChat, GetChatMember

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json


@handles(GetChat)
def get_chat(call: ApiCall, method: GetChat) -> Json:
    """Return a chat's ``ChatFullInfo``, with the newest pinned message."""
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
    """Return a user's ``ChatMember``; a user who has written in a group is a member of it.

    Raises:
        ApiError: 400 when the user is unknown.
    """
    chat = call.get_chat(method.chat_id)
    if method.user_id == call.bot.id:
        return {"status": "member", "user": call.bot.to_telegram_user()}
    user = call.state.users.get(method.user_id)
    if user is None:
        raise bad_request("PARTICIPANT_ID_INVALID")
    wrote = any(e.message["from"]["id"] == user.id for e in chat.entries.values())
    return {"status": "member" if wrote or chat.id == user.id else "left", "user": user.to_telegram_user()}
