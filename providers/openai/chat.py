"""One question to a chat model and its answer as text."""

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam

from providers.openai.errors import translate_openai_errors
from providers.protocols import ErrorKind, ProviderError

MODEL = "gpt-4.1-mini"
"""Sees pictures, answers at once, and costs little; settings may name another."""
MAX_COMPLETION_TOKENS = 2000
"""Of an answer, with whatever the model thinks before it."""


async def complete(
    client: AsyncOpenAI, model: str, instructions: str, question: str | list[ChatCompletionContentPartParam]
) -> str:
    """What the model answers. A refusal is MODERATION; an answer without words is FAILED."""
    messages: list[ChatCompletionMessageParam] = [
        {"role": "developer", "content": instructions},
        {"role": "user", "content": question},
    ]
    async with translate_openai_errors():
        answer = await client.chat.completions.create(
            model=model, messages=messages, max_completion_tokens=MAX_COMPLETION_TOKENS
        )
    if not answer.choices:
        raise ProviderError(ErrorKind.OVERLOADED, "OpenAI: an answer without a choice")
    choice = answer.choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise ProviderError(ErrorKind.MODERATION, "OpenAI: the model refused to answer")
    text = " ".join((choice.message.content or "").split())
    if not text:
        raise ProviderError(ErrorKind.FAILED, f"OpenAI: an empty answer ({choice.finish_reason})")
    return text
