"""OpenAI's description of a picture as a prompt."""

import base64

from providers.media_type import detect_media_type
from providers.openai.chat import MODEL, complete
from providers.openai.client import build_client
from providers.protocols import ErrorKind, ProviderError

MAX_IMAGE_BYTES = 20 * 1024 * 1024
"""Bytes of one picture: what Telegram lets a bot download, and well under OpenAI's limit for a question."""
MEDIA_TYPES = {"image/png", "image/jpeg", "image/webp", "image/gif"}
"""https://platform.openai.com/docs/guides/images-vision"""
DESCRIBE_INSTRUCTIONS = (
    "You write prompts for a text-to-image model. Describe the given picture as one prompt in English that "
    "would make a picture like it: subject, setting, composition, light, colours, style, medium, and any "
    "words written in it, quoted. At most 120 words, one paragraph, no introduction, no names of real people."
)


class OpenAIVision:
    """VisionProvider. `base_url` ends in `/v1`; None is OpenAI itself. `timeout` is in seconds."""

    name = "openai"
    offline = False

    def __init__(self, api_key: str, base_url: str | None, *, model: str = MODEL, timeout: float = 60.0) -> None:
        self._client = build_client(api_key, base_url, timeout)
        self._model = model

    async def describe(self, image: bytes) -> str:
        kind = detect_media_type(image)
        if kind not in MEDIA_TYPES or len(image) > MAX_IMAGE_BYTES:
            raise ProviderError(ErrorKind.BAD_INPUT, f"OpenAI does not take {len(image)} bytes of {kind}")
        data = f"data:{kind};base64,{base64.b64encode(image).decode()}"
        return await complete(
            self._client,
            self._model,
            DESCRIBE_INSTRUCTIONS,
            [{"type": "image_url", "image_url": {"url": data, "detail": "high"}}],
        )

    async def close(self) -> None:
        await self._client.close()
