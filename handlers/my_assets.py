"""What a person owns: models trained on their photos, voices made of their recordings."""

from collections.abc import Awaitable
from uuid import UUID

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from loguru import logger

from handlers.context import UserContext, answer_callback
from providers.protocols import ProviderError
from services.generation.context import UserCatalogue
from services.generation.voices import voice_options
from services.messaging.buttons import (
    MenuCallback,
    ServiceCallback,
    UserAssetCallback,
    button,
    keyboard,
    menu_button,
)
from storage.users.user_assets import delete_model, delete_voice, rename_model, user_models, user_voices

router = Router(name="own")
_MAX_NAME_CHARS = 30
View = tuple[str, InlineKeyboardMarkup]


class Renaming(StatesGroup):
    name = State()


async def models_view(ctx: UserContext) -> View:
    owned = await user_models(ctx.app.db, ctx.user.id)
    rows = [
        [
            button(f"✏️ {model.name}", UserAssetCallback(what="model", id=model.id.hex, action="rename")),
            button("🗑", UserAssetCallback(what="model", id=model.id.hex, action="delete")),
        ]
        for model in owned
    ]
    rows += [
        [button(ctx.t(f"service.{service}.go_on"), ServiceCallback(service=service))]
        for service in ("model_training", "model_training_v2")
    ]
    rows.append([menu_button(ctx.app.texts, ctx.user.language)])
    return ctx.t("models.title" if owned else "models.empty"), keyboard(rows)


async def voices_view(ctx: UserContext) -> View:
    owned = await user_voices(ctx.app.db, ctx.user.id)
    user_options = await voice_options(UserCatalogue(ctx.app.db, ctx.app.providers, ctx.user.id))
    stock_voices = [option.label for option in user_options["voice"][len(owned) :]]
    rows = [[button(f"🗑 {v.name}", UserAssetCallback(what="voice", id=v.id.hex, action="delete"))] for v in owned]
    rows.append([button(ctx.t("service.voice_avatar.go_on"), ServiceCallback(service="voice_avatar"))])
    rows.append([button(ctx.t("service.speech.go_on"), ServiceCallback(service="speech"))])
    rows.append([menu_button(ctx.app.texts, ctx.user.language)])
    text = ctx.t("voices.title" if owned else "voices.empty")
    return f"{text}\n\n{ctx.t('voices.stock', voices=', '.join(stock_voices))}", keyboard(rows)


@router.message(Command("models"))
async def _show_models(message: Message, ctx: UserContext) -> None:
    await ctx.send(*await models_view(ctx))


@router.message(Command("voices"))
async def _show_voices(message: Message, ctx: UserContext) -> None:
    await ctx.send(*await voices_view(ctx))


@router.callback_query(MenuCallback.filter(F.place.in_({"models", "voices"})))
async def _open_assets(
    callback: CallbackQuery, callback_data: MenuCallback, ctx: UserContext, state: FSMContext
) -> None:
    await answer_callback(callback)
    if await state.get_state() == Renaming.name:
        await state.clear()
    await ctx.edit_or_send(callback, *await (models_view if callback_data.place == "models" else voices_view)(ctx))


@router.callback_query(UserAssetCallback.filter(F.action == "delete"))
async def _ask_delete(callback: CallbackQuery, callback_data: UserAssetCallback, ctx: UserContext) -> None:
    await answer_callback(callback)
    sure = UserAssetCallback(what=callback_data.what, id=callback_data.id, action="sure")
    rows = [
        [button(ctx.t("button.delete"), sure)],
        [button(ctx.t("button.back"), MenuCallback(place=f"{callback_data.what}s"))],
    ]
    await ctx.edit_or_send(callback, ctx.t(f"{callback_data.what}s.delete"), keyboard(rows))


@router.callback_query(UserAssetCallback.filter(F.action == "sure"))
async def _delete(callback: CallbackQuery, callback_data: UserAssetCallback, ctx: UserContext) -> None:
    await answer_callback(callback)
    asset_id = UUID(callback_data.id)
    if callback_data.what == "model":
        if model := await delete_model(ctx.app.db, asset_id, ctx.user.id):
            await delete_at_provider(ctx.app.providers.trainings.delete_model(model.version), model.version)
        await ctx.edit_or_send(callback, *await models_view(ctx))
        return
    if voice := await delete_voice(ctx.app.db, asset_id, ctx.user.id):
        await delete_at_provider(ctx.app.providers.voices.delete(voice.voice_id), voice.voice_id)
    await ctx.edit_or_send(callback, *await voices_view(ctx))


async def delete_at_provider(deletion: Awaitable[None], provider_id: str) -> None:
    """Delete it at the provider too. It is the person's no more, even where the provider keeps it."""
    try:
        await deletion
    except ProviderError as error:
        logger.warning("{} stays at its provider: {}", provider_id, error)


@router.callback_query(UserAssetCallback.filter(F.action == "rename"))
async def _ask_name(
    callback: CallbackQuery, callback_data: UserAssetCallback, ctx: UserContext, state: FSMContext
) -> None:
    await answer_callback(callback)
    await state.set_data({"model": callback_data.id})
    await state.set_state(Renaming.name)
    back = button(ctx.t("button.back"), MenuCallback(place="models"))
    await ctx.edit_or_send(callback, ctx.t("models.rename"), keyboard([[back]]))


@router.message(Renaming.name, F.text, ~F.text.startswith("/"))
async def _rename(message: Message, ctx: UserContext, state: FSMContext) -> None:
    name = (message.text or "").strip()
    if not name or len(name) > _MAX_NAME_CHARS:
        await ctx.send(ctx.t("input.too_long", length=len(name), limit=_MAX_NAME_CHARS))
        return
    model_id = UUID((await state.get_data())["model"])
    await state.clear()
    await rename_model(ctx.app.db, model_id, ctx.user.id, name)
    await ctx.send(*await models_view(ctx))
