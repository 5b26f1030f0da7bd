"""Which providers do the work: the real one where there is a key, its offline stand-in otherwise."""

from bot.settings import Settings
from providers.offline.moderation import OfflineModeration
from providers.openai import OpenAIModeration
from providers.protocols import ModerationProvider, PredictionProvider
from providers.replicate import ReplicateProvider
from services.work import Providers


def create_providers(settings: Settings) -> Providers:
    return Providers(images=_images(settings), moderation=_moderation(settings))


def _images(settings: Settings) -> PredictionProvider:
    if token := settings.replicate_api_token.get_secret_value():
        return ReplicateProvider(token, settings.replicate_base_url or None)
    from providers.offline.predictions import OfflineProvider  # numpy and av belong to the sandbox's requirements

    return OfflineProvider(settings.data_dir / "offline", seconds=settings.offline_seconds)


def _moderation(settings: Settings) -> ModerationProvider:
    if key := settings.openai_api_key.get_secret_value():
        return OpenAIModeration(key, settings.openai_base_url or None)
    return OfflineModeration()
