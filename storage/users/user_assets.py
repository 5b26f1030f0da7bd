"""User models, trained on a user's photos, and user voices, cloned from a user's recordings."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

from storage.pool import Executor

ModelKind = Literal["v1", "v2"]

_ADD_MODEL = """
INSERT INTO user_models (id, user_id, kind, name, trigger_word, version, offline, job_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (job_id) DO NOTHING"""
_MODELS = """
SELECT id, user_id, kind, name, trigger_word, version, offline FROM user_models
WHERE user_id = $1 AND deleted_at IS NULL ORDER BY created_at DESC"""
_RENAME_MODEL = (
    "UPDATE user_models SET name = $3 WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL RETURNING true"
)
_DELETE_MODEL = """
UPDATE user_models SET deleted_at = now() WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL
RETURNING id, user_id, kind, name, trigger_word, version, offline"""

_ADD_VOICE = """
INSERT INTO user_voices (id, user_id, name, voice_id, job_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (job_id) DO NOTHING"""
_VOICES = """
SELECT id, user_id, name, voice_id FROM user_voices WHERE user_id = $1 AND deleted_at IS NULL
ORDER BY created_at DESC"""
_DELETE_VOICE = """
UPDATE user_voices SET deleted_at = now() WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL
RETURNING id, user_id, name, voice_id"""
_DELETE_VOICE_BY_PROVIDER_ID = (
    "UPDATE user_voices SET deleted_at = now() WHERE user_id = $1 AND voice_id = $2 AND deleted_at IS NULL"
)


@dataclass(frozen=True)
class UserModel:
    """A trained model.

    Attributes:
        trigger_word: The word in a prompt that stands for the person in the photos.
        version: The provider's name of the model.
        offline: Whether the offline provider trained it.
    """

    id: UUID
    user_id: int
    kind: ModelKind
    name: str
    trigger_word: str
    version: str
    offline: bool


@dataclass(frozen=True)
class UserVoice:
    """A cloned voice. `voice_id` is the provider's id."""

    id: UUID
    user_id: int
    name: str
    voice_id: str


async def add_model(
    db: Executor,
    *,
    user_id: int,
    kind: ModelKind,
    name: str,
    trigger_word: str,
    version: str,
    offline: bool,
    job_id: UUID,
) -> None:
    """Store a trained model, once per job. The arguments are the fields of `UserModel`, and the job."""
    await db.execute(_ADD_MODEL, uuid4(), user_id, kind, name, trigger_word, version, offline, job_id)


async def user_models(db: Executor, user_id: int) -> list[UserModel]:
    """A user's models, newest first."""
    return [UserModel(**dict(row)) for row in await db.fetch(_MODELS, user_id)]


async def rename_model(db: Executor, model_id: UUID, user_id: int, name: str) -> bool:
    """Rename a model. False if the user has no such model."""
    return bool(await db.fetchval(_RENAME_MODEL, model_id, user_id, name))


async def delete_model(db: Executor, model_id: UUID, user_id: int) -> UserModel | None:
    """Delete a model and return it. None if the user has no such model."""
    row = await db.fetchrow(_DELETE_MODEL, model_id, user_id)
    return None if row is None else UserModel(**dict(row))


async def add_voice(db: Executor, *, user_id: int, name: str, voice_id: str, job_id: UUID) -> None:
    """Store a cloned voice, once per job. The arguments are the fields of `UserVoice`, and the job."""
    await db.execute(_ADD_VOICE, uuid4(), user_id, name, voice_id, job_id)


async def user_voices(db: Executor, user_id: int) -> list[UserVoice]:
    """A user's voices, newest first."""
    return [UserVoice(**dict(row)) for row in await db.fetch(_VOICES, user_id)]


async def delete_voice(db: Executor, voice_id: UUID, user_id: int) -> UserVoice | None:
    """Delete a voice and return it. None if the user has no such voice."""
    row = await db.fetchrow(_DELETE_VOICE, voice_id, user_id)
    return None if row is None else UserVoice(**dict(row))


async def delete_voice_by_provider_id(db: Executor, user_id: int, provider_voice_id: str) -> None:
    """Delete a voice that the provider no longer has."""
    await db.execute(_DELETE_VOICE_BY_PROVIDER_ID, user_id, provider_voice_id)
