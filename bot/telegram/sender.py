"""Who sent an update, where the bot has something to say to them: a person, in their private chat."""

from aiogram.enums import ChatType
from aiogram.types import Chat, Update, User


def sender_of(update: Update) -> tuple[User | None, int | None]:
    """The person and the chat; (None, None) for groups, channels, bots and updates of nobody."""
    person, chat = _sides(update)
    if person is None or person.is_bot or (chat is not None and chat.type != ChatType.PRIVATE):
        return None, None
    return person, chat.id if chat is not None else person.id


def _sides(update: Update) -> tuple[User | None, Chat | None]:
    if message := update.message:
        return message.from_user, message.chat
    if tap := update.callback_query:
        return tap.from_user, tap.message.chat if tap.message else None
    if query := update.pre_checkout_query:
        return query.from_user, None
    if member := update.my_chat_member:
        return member.from_user, member.chat
    return None, None
