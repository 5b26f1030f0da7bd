"""Who sent an update, where the bot has something to say to them: a person, in their private chat."""

from aiogram.enums import ChatType
from aiogram.types import Chat, Update, User


def get_sender(update: Update) -> tuple[User | None, int | None]:
    """The person and the chat; (None, None) for groups, channels, bots and updates of nobody."""
    sender, chat = _sender_and_chat(update)
    if sender is None or sender.is_bot or (chat is not None and chat.type != ChatType.PRIVATE):
        return None, None
    return sender, chat.id if chat is not None else sender.id


def _sender_and_chat(update: Update) -> tuple[User | None, Chat | None]:
    if message := update.message:
        return message.from_user, message.chat
    if callback := update.callback_query:
        return callback.from_user, callback.message.chat if callback.message else None
    if query := update.pre_checkout_query:
        return query.from_user, None
    if member := update.my_chat_member:
        return member.from_user, member.chat
    return None, None
