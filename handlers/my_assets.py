"""`/models` and `/voices`: lists user models and user voices, renames or deletes them, and leads to new ones."""

from uuid import UUID

from aiogram import F, Router
from aiogram.filters import Command, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, Message

from handlers.context import UserContext, View, answer_callback
from handlers.filters import PLAIN_TEXT
from handlers.views import menu_row
from services.core.errors import InvalidRequest
from services.generation.registry import SERVICES
from services.messaging.buttons import MenuCallback, ServiceCallback, UserAssetCallback, button, keyboard
from services.users.assets import delete_model, delete_voice, list_models, list_voices, rename_model

router = Router(name="my_assets")


class Renaming(StatesGroup):
    """The conversation while a model is renamed."""

    name = State()
    """The next message is the model's new name."""


async def _models_view(ctx: UserContext) -> View:
    models = await list_models(ctx.db, ctx.user.id)
    rows = [
        [
            button(f"✏️ {model.name}", UserAssetCallback(what="model", id=model.id.hex, action="rename")),
            button("🗑", UserAssetCallback(what="model", id=model.id.hex, action="delete")),
        ]
        for model in models
    ]
    rows += [
        [button(ctx.t(f"service.{service}.go_on"), ServiceCallback(service=service))]
        for service in ("model_training", "model_training_v2")
    ]
    return ctx.t("models.title" if models else "models.empty"), keyboard([*rows, menu_row(ctx)])


async def _voices_view(ctx: UserContext) -> View:
    """The user's own voices as buttons, and the names of the stock voices that all users have."""
    own = await list_voices(ctx.db, ctx.user.id)
    speech = SERVICES["speech"]
    stock_names = [option.label for option in (await ctx.user_options(speech))["voice"][len(own) :]]
    rows = [[button(f"🗑 {v.name}", UserAssetCallback(what="voice", id=v.id.hex, action="delete"))] for v in own]
    rows += [
        [button(ctx.t(f"service.{service}.go_on"), ServiceCallback(service=service))]
        for service in ("voice_avatar", speech.id)
    ]
    text = ctx.t("voices.title" if own else "voices.empty")
    stock = ctx.t("voices.stock", voices=", ".join(stock_names))
    return f"{text}\n\n{stock}", keyboard([*rows, menu_row(ctx)])


@router.message(Command("models"))
async def _show_models(message: Message, ctx: UserContext) -> None:
    """Rename, delete or train user models."""
    await ctx.send(*await _models_view(ctx))


@router.message(Command("voices"))
async def _show_voices(message: Message, ctx: UserContext) -> None:
    """Delete or create user voices, and list the stock voices."""
    await ctx.send(*await _voices_view(ctx))


@router.callback_query(MenuCallback.filter(F.place.in_({"models", "voices"})))
async def _open_assets(
    callback: CallbackQuery,
    callback_data: MenuCallback,
    ctx: UserContext,
    state: FSMContext,
    raw_state: str | None,
) -> None:
    """Open the list. This also ends the question about a model's new name."""
    await answer_callback(callback)
    if raw_state == Renaming.name.state:
        await state.clear()
    view = await (_models_view(ctx) if callback_data.place == "models" else _voices_view(ctx))
    await ctx.edit_or_send(callback, *view)


@router.callback_query(UserAssetCallback.filter(F.action == "delete"))
async def _confirm_delete(callback: CallbackQuery, callback_data: UserAssetCallback, ctx: UserContext) -> None:
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
        await delete_model(ctx.db, ctx.providers.trainings, ctx.user.id, asset_id)
        await ctx.edit_or_send(callback, *await _models_view(ctx))
    else:
        await delete_voice(ctx.db, ctx.providers.voices, ctx.user.id, asset_id)
        await ctx.edit_or_send(callback, *await _voices_view(ctx))


@router.callback_query(UserAssetCallback.filter(F.action == "rename"))
async def _ask_name(
    callback: CallbackQuery, callback_data: UserAssetCallback, ctx: UserContext, state: FSMContext
) -> None:
    await answer_callback(callback)
    await state.set_data({"model": callback_data.id})
    await state.set_state(Renaming.name)
    back = button(ctx.t("button.back"), MenuCallback(place="models"))
    await ctx.edit_or_send(callback, ctx.t("models.rename"), keyboard([[back]]))


@router.message(StateFilter(Renaming.name), PLAIN_TEXT)
async def _rename(message: Message, ctx: UserContext, state: FSMContext) -> None:
    model_id = UUID((await state.get_data())["model"])
    try:
        await rename_model(ctx.db, ctx.user.id, model_id, message.text or "")
    except InvalidRequest as refused:
        await ctx.send(ctx.failure_text(refused))
        return
    await state.clear()
    await ctx.send(*await _models_view(ctx))
