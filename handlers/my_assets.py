"""What a person owns: models trained on their photos, voices made of their recordings."""

from collections.abc import Awaitable
from uuid import UUID

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from loguru import logger

from handlers.context import Desk, answer
from providers.protocols import ProviderError
from services.generation.context import Shelf
from services.generation.voices import voice_offers
from services.messaging.buttons import MenuTap, OwnTap, ServiceTap, button, keyboard, menu_button
from storage.users.user_assets import delete_model, delete_voice, own_models, own_voices, rename_model

router = Router(name="own")
_NAME_LENGTH = 30
View = tuple[str, InlineKeyboardMarkup]


class Renaming(StatesGroup):
    name = State()


async def models(desk: Desk) -> View:
    owned = await own_models(desk.studio.db, desk.user.id)
    rows = [
        [
            button(f"✏️ {model.name}", OwnTap(what="model", id=model.id.hex, action="rename")),
            button("🗑", OwnTap(what="model", id=model.id.hex, action="delete")),
        ]
        for model in owned
    ]
    rows += [
        [button(desk.t(f"service.{service}.go_on"), ServiceTap(service=service))]
        for service in ("model_training", "model_training_v2")
    ]
    rows.append([menu_button(desk.studio.texts, desk.user.language)])
    return desk.t("models.title" if owned else "models.empty"), keyboard(rows)


async def voices(desk: Desk) -> View:
    owned = await own_voices(desk.studio.db, desk.user.id)
    offers = await voice_offers(Shelf(desk.studio.db, desk.studio.providers, desk.user.id))
    stock = [option.label for option in offers["voice"][len(owned) :]]
    rows = [[button(f"🗑 {v.name}", OwnTap(what="voice", id=v.id.hex, action="delete"))] for v in owned]
    rows.append([button(desk.t("service.voice_avatar.go_on"), ServiceTap(service="voice_avatar"))])
    rows.append([button(desk.t("service.speech.go_on"), ServiceTap(service="speech"))])
    rows.append([menu_button(desk.studio.texts, desk.user.language)])
    mine = desk.t("voices.title" if owned else "voices.empty")
    return f"{mine}\n\n{desk.t('voices.stock', voices=', '.join(stock))}", keyboard(rows)


@router.message(Command("models"))
async def show_models(message: Message, desk: Desk) -> None:
    await desk.say(*await models(desk))


@router.message(Command("voices"))
async def show_voices(message: Message, desk: Desk) -> None:
    await desk.say(*await voices(desk))


@router.callback_query(MenuTap.filter(F.place.in_({"models", "voices"})))
async def go_to_own(tap: CallbackQuery, callback_data: MenuTap, desk: Desk, state: FSMContext) -> None:
    await answer(tap)
    if await state.get_state() == Renaming.name:
        await state.clear()
    await desk.show(tap, *await (models if callback_data.place == "models" else voices)(desk))


@router.callback_query(OwnTap.filter(F.action == "delete"))
async def ask_delete(tap: CallbackQuery, callback_data: OwnTap, desk: Desk) -> None:
    await answer(tap)
    sure = OwnTap(what=callback_data.what, id=callback_data.id, action="sure")
    rows = [
        [button(desk.t("button.delete"), sure)],
        [button(desk.t("button.back"), MenuTap(place=f"{callback_data.what}s"))],
    ]
    await desk.show(tap, desk.t(f"{callback_data.what}s.delete"), keyboard(rows))


@router.callback_query(OwnTap.filter(F.action == "sure"))
async def delete(tap: CallbackQuery, callback_data: OwnTap, desk: Desk) -> None:
    await answer(tap)
    own_id = UUID(callback_data.id)
    if callback_data.what == "model":
        if model := await delete_model(desk.studio.db, own_id, desk.user.id):
            await forget(desk.studio.providers.trainings.forget(model.version), model.version)
        await desk.show(tap, *await models(desk))
        return
    if voice := await delete_voice(desk.studio.db, own_id, desk.user.id):
        await forget(desk.studio.providers.voices.delete(voice.voice_id), voice.voice_id)
    await desk.show(tap, *await voices(desk))


async def forget(deletion: Awaitable[None], what: str) -> None:
    """Delete it at the provider too. It is the person's no more, even where the provider keeps it."""
    try:
        await deletion
    except ProviderError as error:
        logger.warning("{} stays at its provider: {}", what, error)


@router.callback_query(OwnTap.filter(F.action == "rename"))
async def ask_name(tap: CallbackQuery, callback_data: OwnTap, desk: Desk, state: FSMContext) -> None:
    await answer(tap)
    await state.set_data({"model": callback_data.id})
    await state.set_state(Renaming.name)
    back = button(desk.t("button.back"), MenuTap(place="models"))
    await desk.show(tap, desk.t("models.rename"), keyboard([[back]]))


@router.message(Renaming.name, F.text, ~F.text.startswith("/"))
async def rename(message: Message, desk: Desk, state: FSMContext) -> None:
    name = (message.text or "").strip()
    if not name or len(name) > _NAME_LENGTH:
        await desk.say(desk.t("input.too_long", length=len(name), limit=_NAME_LENGTH))
        return
    model_id = UUID((await state.get_data())["model"])
    await state.clear()
    await rename_model(desk.studio.db, model_id, desk.user.id, name)
    await desk.say(*await models(desk))
