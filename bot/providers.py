"""Creates the providers: the real one if its key is set, otherwise its offline replacement.

Each is imported only if it is used: the clients are slow to import, and the offline providers need the sandbox's
packages.
"""

from bot.settings import Settings
from providers.instrumented import instrumented
from providers.protocols import PredictionProvider, SpeechProvider, TrainingProvider, VoiceProvider
from services.core.metrics import record_provider_call
from services.generation.context import LanguageProviders, Providers
from web.webhooks.replicate import PATH as REPLICATE_WEBHOOK


def create_providers(settings: Settings) -> Providers:
    """Create all providers. Their calls are counted in the metrics."""
    recorder = record_provider_call
    voices = instrumented(_create_voices(settings), recorder)
    speech: dict[str, SpeechProvider] = {voices.name: voices}
    if openai_speech := _create_openai_speech(settings):
        speech[openai_speech.name] = instrumented(openai_speech, recorder)
    media, trainings = _create_media(settings)
    vision, text, transcription, moderation = _create_text_providers(settings)
    return Providers(
        instrumented(media, recorder),
        instrumented(trainings, recorder),
        voices,
        speech,
        instrumented(vision, recorder),
        instrumented(text, recorder),
        instrumented(transcription, recorder),
        instrumented(moderation, recorder),
    )


def _create_media(settings: Settings) -> tuple[PredictionProvider, TrainingProvider]:
    """Create the providers of predictions (images, videos, lip-sync) and of trainings."""
    if token := settings.replicate_api_token.get_secret_value():
        from providers.replicate.predictions import ReplicateProvider
        from providers.replicate.trainings import ReplicateTrainings

        base_url = settings.replicate_base_url or None
        webhook_url = f"{settings.public_url}{REPLICATE_WEBHOOK}" if settings.public_url else None
        return (
            ReplicateProvider(token, base_url, webhook_url=webhook_url),
            ReplicateTrainings(token, base_url, webhook_url=webhook_url),
        )
    from sandbox.providers.provider import OfflineProvider

    offline = OfflineProvider(settings.data_dir / "offline", seconds=settings.offline_seconds)
    return offline, offline


async def replicate_webhook_secret(settings: Settings) -> str:
    """Fetch the secret that Replicate signs its webhooks with.

    Raises:
        ProviderError: Replicate does not return it.
    """
    from providers.replicate.webhook import fetch_signing_secret

    return await fetch_signing_secret(
        settings.replicate_api_token.get_secret_value(), settings.replicate_base_url or None
    )


def _create_voices(settings: Settings) -> VoiceProvider:
    if key := settings.elevenlabs_api_key.get_secret_value():
        from providers.elevenlabs.voices import ElevenLabsVoices

        return ElevenLabsVoices(key, settings.elevenlabs_base_url or None)
    from sandbox.providers.sound import OfflineVoices

    return OfflineVoices(settings.data_dir / "voices")


def _create_openai_speech(settings: Settings) -> SpeechProvider | None:
    if key := settings.openai_api_key.get_secret_value():
        from providers.openai.speech import OpenAISpeech

        return OpenAISpeech(key, settings.openai_base_url or None)
    return None


def _create_text_providers(settings: Settings) -> LanguageProviders:
    if key := settings.openai_api_key.get_secret_value():
        from providers.openai.moderation import OpenAIModeration
        from providers.openai.text import OpenAIText
        from providers.openai.transcription import OpenAITranscription
        from providers.openai.vision import OpenAIVision

        url = settings.openai_base_url or None
        return (
            OpenAIVision(key, url),
            OpenAIText(key, url),
            OpenAITranscription(key, url),
            OpenAIModeration(key, url),
        )
    from sandbox.providers.language import OfflineModeration, OfflineText, OfflineVision
    from sandbox.providers.sound import OfflineTranscription

    return OfflineVision(), OfflineText(), OfflineTranscription(), OfflineModeration()
