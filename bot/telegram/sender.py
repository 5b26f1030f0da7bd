"""Finds the user who sent an update in their private chat."""

from aiogram.enums import ChatType
from aiogram.types import Chat, Update, User

from services.core.i18n import Texts
from storage.users.users import TelegramProfile


def get_sender(update: Update) -> tuple[User | None, int | None]:
    """Find the user who sent an update.

    Returns:
        The user and the id of the chat to answer in: the user's own if the update names none. (None, None) for
        groups, channels, other bots and updates without a sender.
    """
    sender, chat = _sender_and_chat(update)
    if sender is None or sender.is_bot or (chat is not None and chat.type != ChatType.PRIVATE):
        return None, None
    return sender, chat.id if chat is not None else sender.id


def to_profile(user: User, bot_name: str, texts: Texts) -> TelegramProfile:
    """Convert Telegram's user to a profile.

    Args:
        user: Telegram's user.
        bot_name: The bot that they wrote to.
        texts: Choose the profile's language among those that the bot speaks.
    """
    language = texts.language_for(user.language_code)
    return TelegramProfile(user.id, bot_name, language, user.username, user.first_name)


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
