"""User models and user voices: list, rename and delete."""

from collections.abc import Awaitable
from typing import Final
from uuid import UUID

from loguru import logger

from providers.protocols import ProviderError, TrainingProvider, VoiceProvider
from services.core.errors import InvalidRequest
from storage.pool import Executor
from storage.users import user_assets
from storage.users.user_assets import UserModel, UserVoice

_MAX_NAME_CHARS: Final = 30


async def list_models(db: Executor, user_id: int) -> list[UserModel]:
    """List a user's models, newest first."""
    return await user_assets.user_models(db, user_id)


async def list_voices(db: Executor, user_id: int) -> list[UserVoice]:
    """List a user's voices, newest first."""
    return await user_assets.user_voices(db, user_id)


async def rename_model(db: Executor, user_id: int, model_id: UUID, name: str) -> None:
    """Rename a model. Does nothing if the user has no such model.

    Raises:
        InvalidRequest: The name is empty or longer than 30 characters.
    """
    name = name.strip()
    if not name or len(name) > _MAX_NAME_CHARS:
        raise InvalidRequest("input.too_long", length=len(name), limit=_MAX_NAME_CHARS)
    await user_assets.rename_model(db, model_id, user_id, name)


async def delete_model(db: Executor, trainings: TrainingProvider, user_id: int, model_id: UUID) -> None:
    """Delete a model in the database and at its provider. Does nothing if the user has no such model.

    If the provider fails to delete it, that is only logged; the user no longer has the model.
    """
    if model := await user_assets.delete_model(db, model_id, user_id):
        await _delete_at_provider(trainings.delete_model(model.version), model.version)


async def delete_voice(db: Executor, voices: VoiceProvider, user_id: int, voice_id: UUID) -> None:
    """Delete a voice in the database and at its provider, like `delete_model`."""
    if voice := await user_assets.delete_voice(db, voice_id, user_id):
        await _delete_at_provider(voices.delete(voice.voice_id), voice.voice_id)


async def _delete_at_provider(deletion: Awaitable[None], provider_id: str) -> None:
    try:
        await deletion
    except ProviderError as error:
        logger.warning("asset not deleted at its provider", asset=provider_id, error=error)
