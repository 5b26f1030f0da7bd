"""Which providers do the work: the real one where there is a key, its offline stand-in otherwise.

Only what is used is imported: the clients are slow to, and the offline ones belong to the sandbox's requirements.
"""

from bot.settings import Settings
from providers.protocols import ModerationProvider, PredictionProvider
from services.work import Providers


def create_providers(settings: Settings) -> Providers:
    return Providers(images=_images(settings), moderation=_moderation(settings))


def _images(settings: Settings) -> PredictionProvider:
    if token := settings.replicate_api_token.get_secret_value():
        from providers.replicate import ReplicateProvider

        return ReplicateProvider(token, settings.replicate_base_url or None)
    from providers.offline.predictions import OfflineProvider

    return OfflineProvider(settings.data_dir / "offline", seconds=settings.offline_seconds)


def _moderation(settings: Settings) -> ModerationProvider:
    if key := settings.openai_api_key.get_secret_value():
        from providers.openai import OpenAIModeration

        return OpenAIModeration(key, settings.openai_base_url or None)
    from providers.offline.moderation import OfflineModeration

    return OfflineModeration()
