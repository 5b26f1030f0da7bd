"""Questions to OpenAI's chat model, answered as text."""

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam

from providers.openai.errors import translate_openai_errors
from providers.protocols import ErrorKind, ProviderError

MODEL = "gpt-4.1-mini"
"""It takes images, answers fast and costs little."""
_MAX_COMPLETION_TOKENS = 2000
"""The longest answer, with the reasoning that precedes it."""


async def complete(
    client: AsyncOpenAI, model: str, instructions: str, question: str | list[ChatCompletionContentPartParam]
) -> str:
    """Ask the model one question.

    Args:
        client: The client.
        model: The model's name.
        instructions: Ours, which say how to answer.
        question: The user's, as text or as parts with images.

    Returns:
        The answer in one line.

    Raises:
        ProviderError: With MODERATION where the model refuses to answer, with FAILED where the answer is empty.
    """
    messages: list[ChatCompletionMessageParam] = [
        {"role": "developer", "content": instructions},
        {"role": "user", "content": question},
    ]
    async with translate_openai_errors():
        response = await client.chat.completions.create(
            model=model, messages=messages, max_completion_tokens=_MAX_COMPLETION_TOKENS
        )
    if not response.choices:
        raise ProviderError(ErrorKind.OVERLOADED, "OpenAI: response has no choices")
    choice = response.choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise ProviderError(ErrorKind.MODERATION, "OpenAI: the model refused to answer")
    text = " ".join((choice.message.content or "").split())
    if not text:
        raise ProviderError(ErrorKind.FAILED, f"OpenAI: empty answer ({choice.finish_reason})")
    return text
