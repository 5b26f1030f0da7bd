"""aiogram's Bot against the sandbox: the methods, and the errors in Telegram's wording."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import (
    BotCommand,
    BotCommandScopeChat,
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaAudio,
    InputMediaPhoto,
    KeyboardButton,
    LabeledPrice,
    ReactionTypeEmoji,
    ReplyKeyboardMarkup,
    ReplyParameters,
)
from aiohttp import ClientSession
from PIL import Image

from sandbox.telegram.client import ControlApiClient
from sandbox.telegram.server import running_server

TOKEN = "4242:sandbox-test"
USER = 1001


@dataclass
class BotApiSandbox:
    url: str
    bot: Bot
    user: ControlApiClient
    http: ClientSession


@pytest.fixture
async def sandbox() -> AsyncIterator[BotApiSandbox]:
    async with running_server() as (_, url):
        bot = Bot(TOKEN, session=PlainHttpSession(api=TelegramAPIServer.from_base(url)))
        async with ControlApiClient(url) as user, ClientSession() as http:
            await bot.get_me()
            await user.message("/start")
            yield BotApiSandbox(url, bot, user, http)
        await bot.session.close()


class PlainHttpSession(AiohttpSession):
    """Closes without the quarter of a second that aiogram waits for TLS."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def image(width: int = 64, height: int = 48) -> BufferedInputFile:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(stream, "PNG")
    return BufferedInputFile(stream.getvalue(), "image.png")


def button(text: str, **action: Any) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text=text, **action)]])


async def test_message_with_entities_and_keyboard(sandbox: BotApiSandbox) -> None:
    sent = await sandbox.bot.send_message(
        USER, "<b>hi</b> there", parse_mode="HTML", reply_markup=button("Go", callback_data="x" * 64)
    )
    assert sent.text == "hi there"
    assert sent.html_text == "<b>hi</b> there"
    shown = (await sandbox.user.chat())["messages"][-1]
    assert (shown["from"], shown["html"]) == ("bot", "<b>hi</b> there")
    assert shown["keyboard"] == [[{"text": "Go", "callback_data": "x" * 64}]]


async def test_photo_is_downloaded_and_sent_again_unchanged(sandbox: BotApiSandbox) -> None:
    sent = await sandbox.bot.send_photo(USER, image(), caption="<i>c</i>", parse_mode="HTML")
    assert sent.photo is not None
    assert (sent.photo[-1].width, sent.photo[-1].height, sent.caption) == (64, 48, "c")
    stream = await sandbox.bot.download(sent.photo[-1].file_id)
    assert stream is not None
    assert stream.read() == image().data
    again = await sandbox.bot.send_photo(USER, sent.photo[-1].file_id)
    assert again.photo == sent.photo
    media = (await sandbox.user.chat())["messages"][-1]["media"][0]
    async with sandbox.http.get(
        f"{sandbox.url}/sim/file/{media['file_id']}", headers={"Range": "bytes=0-3"}
    ) as part:
        assert (part.status, await part.read()) == (206, b"\x89PNG")


async def test_other_media_keep_their_fields(sandbox: BotApiSandbox) -> None:
    data = BufferedInputFile(b"data", "f.bin")
    assert (await sandbox.bot.send_video(USER, data, width=4, height=3, duration=2)).video is not None
    assert (await sandbox.bot.send_voice(USER, data, duration=2)).voice is not None
    assert (await sandbox.bot.send_animation(USER, data)).animation is not None
    audio = (await sandbox.bot.send_audio(USER, data, title="t", performer="p")).audio
    assert audio is not None
    assert (audio.title, audio.performer) == ("t", "p")
    document = (await sandbox.bot.send_document(USER, data)).document
    assert document is not None
    assert (document.file_name, document.file_size) == ("f.bin", 4)


async def test_album_messages_share_one_group(sandbox: BotApiSandbox) -> None:
    album = await sandbox.bot.send_media_group(
        USER, [InputMediaPhoto(media=image(), caption="a") for _ in range(3)]
    )
    assert len({message.media_group_id for message in album}) == 1
    assert [message.caption for message in album] == ["a"] * 3


async def test_edit_text_markup_caption_and_media(sandbox: BotApiSandbox) -> None:
    sent = await sandbox.bot.send_message(USER, "one", reply_markup=button("Go", callback_data="go"))
    edited = await sandbox.bot.edit_message_text("two", chat_id=USER, message_id=sent.message_id)
    assert not isinstance(edited, bool)
    assert (edited.text, edited.reply_markup) == ("two", None)
    await sandbox.bot.edit_message_reply_markup(
        chat_id=USER, message_id=sent.message_id, reply_markup=button("More", url="https://a.b")
    )
    shown = (await sandbox.user.chat())["messages"][-1]
    assert (shown["text"], shown["edited"], shown["edits"]) == ("two", True, 1)
    photo = await sandbox.bot.send_photo(USER, image(), caption="c")
    await sandbox.bot.edit_message_caption(chat_id=USER, message_id=photo.message_id, caption="d")
    media = InputMediaPhoto(media=image(32, 32), caption="e")
    await sandbox.bot.edit_message_media(media, chat_id=USER, message_id=photo.message_id)
    shown = (await sandbox.user.chat())["messages"][-1]
    assert (shown["caption"], shown["media"][0]["width"]) == ("e", 32)


async def test_reply_copy_forward_dice_pin_reaction_and_delete(sandbox: BotApiSandbox) -> None:
    bot = sandbox.bot
    one = await bot.send_message(USER, "one", reply_parameters=ReplyParameters(message_id=1))
    assert one.reply_to_message is not None
    assert one.reply_to_message.text == "/start"
    assert (await bot.copy_message(USER, USER, one.message_id)).message_id == one.message_id + 1
    assert (await bot.forward_message(USER, USER, one.message_id)).forward_origin is not None
    dice = (await bot.send_dice(USER)).dice
    assert dice is not None
    assert 1 <= dice.value <= 6
    await sandbox.user.post("dice", values=[6, 2])
    thrown = [(await bot.send_dice(USER)).dice for _ in range(2)]
    assert [d.value for d in thrown if d] == [6, 2]
    assert await bot.send_chat_action(USER, "typing")
    assert (await sandbox.user.chat())["action"] == "typing"
    assert await bot.pin_chat_message(USER, one.message_id)
    assert await bot.set_message_reaction(USER, 1, [ReactionTypeEmoji(emoji="👍")])
    chat = await sandbox.user.chat()
    assert (chat["pinned"], chat["messages"][0]["reactions"]) == ([one.message_id], ["👍"])
    assert await bot.delete_message(USER, one.message_id)
    assert await bot.delete_messages(USER, [1, 999])
    assert [m["deleted"] for m in (await sandbox.user.chat())["messages"][:2]] == [True, True]


async def test_profile_and_commands_are_set_and_read(sandbox: BotApiSandbox) -> None:
    bot = sandbox.bot
    await bot.set_my_name("Diptych")
    await bot.set_my_description("All of it")
    await bot.set_my_short_description("Short")
    assert (await bot.get_me()).first_name == "Diptych"
    assert (await bot.get_my_short_description()).short_description == "Short"
    await bot.set_my_commands([BotCommand(command="menu", description="All")])
    scope = BotCommandScopeChat(chat_id=USER)
    await bot.set_my_commands([BotCommand(command="menu", description="Alle")], scope=scope)
    assert (await sandbox.user.chat())["commands"] == [{"command": "menu", "description": "Alle"}]
    await bot.delete_my_commands(scope=scope)
    assert (await sandbox.user.chat())["commands"] == [{"command": "menu", "description": "All"}]
    assert [c.command for c in await bot.get_my_commands()] == ["menu"]


Request = Callable[[Bot], Awaitable[Any]]
LONG = "x" * 4097
STARS = [LabeledPrice(label="l", amount=5)]
INVOICE: dict[str, Any] = {"title": "t", "description": "d", "payload": "p", "currency": "XTR", "prices": STARS}
REFUSED: list[tuple[Request, str]] = [
    (lambda b: b.send_message(USER, LONG), "message is too long"),
    (lambda b: b.send_message(USER, "<b>a", parse_mode="HTML"), "can't parse entities: Can't find end tag"),
    (lambda b: b.send_photo(USER, image(), caption="x" * 1025), "message caption is too long"),
    (
        lambda b: b.send_message(USER, "x", reply_markup=button("a", callback_data="é" * 33)),
        "BUTTON_DATA_INVALID",
    ),
    (lambda b: b.send_message(USER, "x", reply_markup=button("a")), "Text buttons are unallowed in the inline"),
    (lambda b: b.send_message(777, "x"), "chat not found"),
    (lambda b: b.send_message("@nobody", "x"), "chat not found"),
    (lambda b: b.send_photo(USER, "nonsense"), "wrong file identifier/HTTP URL specified"),
    (lambda b: b.send_photo(USER, BufferedInputFile(b"text", "a.png")), "IMAGE_PROCESS_FAILED"),
    (lambda b: b.send_photo(USER, image(2100, 100)), "PHOTO_INVALID_DIMENSIONS"),
    (lambda b: b.send_photo(USER, BufferedInputFile(b"\0" * 10_485_761, "a.png")), "is too big for a photo"),
    (lambda b: b.send_photo(USER, BufferedInputFile(b"", "a.png")), "file must be non-empty"),
    (lambda b: b.send_media_group(USER, [InputMediaPhoto(media=image())]), "media group must include 2-10"),
    (
        lambda b: b.send_media_group(USER, [InputMediaPhoto(media=image())] * 11),
        "too many messages to send as an album",
    ),
    (
        lambda b: b.send_media_group(USER, [InputMediaPhoto(media=image()), InputMediaAudio(media=image())]),
        "can't use the media of the specified type in the album",
    ),
    (lambda b: b.edit_message_text("x", chat_id=USER, message_id=99), "message to edit not found"),
    (lambda b: b.edit_message_text("x", chat_id=USER, message_id=1), "message can't be edited"),
    (lambda b: b.delete_message(USER, 99), "message to delete not found"),
    (
        lambda b: b.answer_callback_query("123"),
        "query is too old and response timeout expired or query ID is invalid",
    ),
    (lambda b: b.get_file("nonsense"), "wrong file_id or the file is temporarily unavailable"),
    (
        lambda b: b.send_message(USER, "x", reply_parameters=ReplyParameters(message_id=99)),
        "message to be replied",
    ),
    (lambda b: b.send_chat_action(USER, "dancing"), "wrong parameter action in request"),
    (lambda b: b.send_invoice(USER, **{**INVOICE, "prices": STARS * 2}), "STARS_INVOICE_INVALID"),
    (lambda b: b.send_invoice(USER, **INVOICE, provider_token="x"), "STARS_INVOICE_INVALID"),
    (lambda b: b.send_invoice(USER, **{**INVOICE, "payload": "p" * 129}), "INVOICE_PAYLOAD_INVALID"),
    (lambda b: b.send_invoice(USER, **{**INVOICE, "currency": "USD"}), "PAYMENT_PROVIDER_INVALID"),
    (lambda b: b.refund_star_payment(USER, "none"), "CHARGE_NOT_FOUND"),
    (lambda b: b.set_my_commands([BotCommand(command="Menü", description="d")]), "BOT_COMMAND_INVALID"),
]


@pytest.mark.parametrize(("request_", "description"), REFUSED, ids=[description for _, description in REFUSED])
async def test_invalid_request_raises_telegrams_error(
    sandbox: BotApiSandbox, request_: Request, description: str
) -> None:
    before = len((await sandbox.user.chat())["messages"])
    with pytest.raises(TelegramBadRequest) as raised:
        await request_(sandbox.bot)
    assert description in raised.value.message
    assert raised.value.message.startswith("Bad Request: ")
    assert len((await sandbox.user.chat())["messages"]) == before


async def test_edit_without_change_or_of_a_wrong_message_raises(sandbox: BotApiSandbox) -> None:
    sent = await sandbox.bot.send_message(USER, "same")
    with pytest.raises(TelegramBadRequest, match="message is not modified: specified new message content"):
        await sandbox.bot.edit_message_text(
            "<b></b>same ", chat_id=USER, message_id=sent.message_id, parse_mode="HTML"
        )
    keyboard = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="k")]])
    with_keys = await sandbox.bot.send_message(USER, "keys", reply_markup=keyboard)
    with pytest.raises(TelegramBadRequest, match="message can't be edited"):
        await sandbox.bot.edit_message_text("x", chat_id=USER, message_id=with_keys.message_id)
    photo = await sandbox.bot.send_photo(USER, image())
    with pytest.raises(TelegramBadRequest, match="there is no text in the message to edit"):
        await sandbox.bot.edit_message_text("x", chat_id=USER, message_id=photo.message_id)


async def test_sending_to_a_user_who_blocked_or_never_started_is_forbidden(sandbox: BotApiSandbox) -> None:
    await sandbox.user.post("people", id=2002)
    with pytest.raises(TelegramForbiddenError, match="bot can't initiate conversation with a user"):
        await sandbox.bot.send_message(2002, "x")
    assert (await sandbox.user.post("block", user_id=USER))["blocked"]
    with pytest.raises(TelegramForbiddenError, match="Forbidden: bot was blocked by the user"):
        await sandbox.bot.send_message(USER, "x")
    await sandbox.user.post("block", user_id=USER, blocked=False)
    await sandbox.bot.send_message(USER, "x")


async def test_upload_and_download_size_limits(sandbox: BotApiSandbox) -> None:
    with pytest.raises(TelegramEntityTooLarge, match="Request Entity Too Large"):
        await sandbox.bot.send_document(USER, BufferedInputFile(bytes(50 * 1024 * 1024 + 1), "big"))
    sent = await sandbox.bot.send_document(USER, BufferedInputFile(bytes(20 * 1024 * 1024 + 1), "big"))
    assert sent.document is not None
    with pytest.raises(TelegramBadRequest, match="Bad Request: file is too big"):
        await sandbox.bot.get_file(sent.document.file_id)


async def test_unknown_methods_tokens_and_files_are_errors(sandbox: BotApiSandbox) -> None:
    with pytest.raises(TelegramServerError, match="does not carry out sendVenue"):
        await sandbox.bot.send_venue(USER, 1, 2, "t", "a")
    async with sandbox.http.get(f"{sandbox.url}/bot{TOKEN}/sendNonsense") as answer:
        assert await answer.json() == {
            "ok": False,
            "error_code": 404,
            "description": "Not Found: method not found",
        }
    unknown_bot = Bot("0042:token", session=sandbox.bot.session)
    with pytest.raises(TelegramUnauthorizedError, match="Unauthorized"):
        await unknown_bot.get_me()
    async with sandbox.http.get(f"{sandbox.url}/file/bot{TOKEN}/photos/none.png") as answer:
        assert answer.status == 404


async def test_file_of_another_bot_is_unknown(sandbox: BotApiSandbox) -> None:
    other = Bot("4343:other", session=sandbox.bot.session)
    await other.get_me()
    await sandbox.user.message("/start", bot=4343)
    sent = await sandbox.bot.send_photo(USER, image())
    assert sent.photo is not None
    with pytest.raises(TelegramBadRequest, match="wrong file identifier"):
        await other.send_photo(USER, sent.photo[0].file_id)
    assert len((await sandbox.user.chat(bot=4343))["messages"]) == 1


@pytest.mark.parametrize("way", ["query", "form", "json", "multipart"])
async def test_plain_http(sandbox: BotApiSandbox, way: str) -> None:
    url = f"{sandbox.url}/bot{TOKEN}/SENDmessage"
    markup = '{"inline_keyboard":[[{"text":"Go","callback_data":"go"}]]}'
    fields = {"chat_id": str(USER), "text": "plain", "reply_markup": markup, "unknown": "ignored"}
    if way == "query":
        answer = await sandbox.http.get(url, params=fields)
    elif way == "json":
        answer = await sandbox.http.post(url, json={"chat_id": USER, "text": "plain", "reply_markup": markup})
    elif way == "form":
        answer = await sandbox.http.post(url, data=fields)
    else:
        answer = await sandbox.http.post(url, data={**fields, "file": io.BytesIO(b"not used")})
    body = await answer.json()
    assert body["ok"], body
    assert body["result"]["reply_markup"]["inline_keyboard"][0][0]["callback_data"] == "go"


@pytest.mark.parametrize(
    ("method", "fields", "description"),
    [
        ("sendMessage", {"text": "x"}, "Bad Request: chat_id is empty"),
        ("sendMessage", {"chat_id": "1001"}, "Bad Request: message text is empty"),
        ("sendPhoto", {"chat_id": "1001"}, "Bad Request: there is no photo in the request"),
        ("getFile", {}, 'Bad Request: parameter "file_id" is required'),
        (
            "sendMessage",
            {"chat_id": "1001", "text": "x", "reply_markup": "{"},
            "Bad Request: can't parse reply keyboard markup JSON object",
        ),
        (
            "sendMessage",
            {"chat_id": "1001", "text": "x", "reply_markup": "[]"},
            "Bad Request: object expected as reply markup",
        ),
    ],
)
async def test_malformed_request_raises_telegrams_error(
    sandbox: BotApiSandbox, method: str, fields: dict[str, str], description: str
) -> None:
    async with sandbox.http.post(f"{sandbox.url}/bot{TOKEN}/{method}", data=fields) as answer:
        assert (answer.status, (await answer.json())["description"]) == (400, description)
