"""Images described as prompts by OpenAI's chat model."""

import base64

from providers.media_type import detect_media_type
from providers.openai.chat import MODEL, complete
from providers.openai.client import OpenAIProvider
from providers.protocols import ErrorKind, ProviderError

MAX_IMAGE_BYTES = 20 * 1024 * 1024
"""The largest image: what a bot can download from Telegram, and well below OpenAI's limit for a request."""
_MEDIA_TYPES = {"image/png", "image/jpeg", "image/webp", "image/gif"}
"""The formats that the model takes: https://platform.openai.com/docs/guides/images-vision"""
_DESCRIBE_INSTRUCTIONS = (
    "You write prompts for a text-to-image model. Describe the given picture as one prompt in English that "
    "would make a picture like it: subject, setting, composition, light, colours, style, medium, and any "
    "words written in it, quoted. At most 120 words, one paragraph, no introduction, no names of real people."
)


class OpenAIVision(OpenAIProvider):
    """VisionProvider over OpenAI's API."""

    default_model = MODEL

    async def describe(self, image: bytes) -> str:
        """Describe an image. Raises ProviderError, with BAD_INPUT for a format or a size that OpenAI does not take."""
        kind = detect_media_type(image)
        if kind not in _MEDIA_TYPES or len(image) > MAX_IMAGE_BYTES:
            raise ProviderError(ErrorKind.BAD_INPUT, f"OpenAI does not accept {len(image)} bytes of {kind}")
        data = f"data:{kind};base64,{base64.b64encode(image).decode()}"
        return await complete(
            self._client,
            self._model,
            _DESCRIBE_INSTRUCTIONS,
            [{"type": "image_url", "image_url": {"url": data, "detail": "high"}}],
        )
