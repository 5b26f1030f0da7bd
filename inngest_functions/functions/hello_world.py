"""`demo/hello.world`: the smallest function, to see Plan A at work. Copy it to add a function."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import inngest
from loguru import logger

from inngest_functions.events import HELLO, HelloWorld
from services.durable.steps import MAX_RETRIES
from services.hello import Hello, HelloEnvironment, greeting, hello_result

FUNCTION_ID: Final = "hello-world"


def create_hello_function(
    client: inngest.Inngest, environment: HelloEnvironment, greet: Callable[[Hello], str] = greeting
) -> inngest.Function[Any]:
    """Create the function that returns a greeting, in four steps.

    Args:
        client: The Inngest client.
        environment: What the result says about this process.
        greet: Creates the greeting.
    """

    async def run(ctx: inngest.Context) -> dict[str, Any]:
        hello = HelloWorld.model_validate(ctx.event.data)
        step = ctx.step

        async def log_incoming() -> None:
            logger.info("hello world started", run=ctx.run_id, name=hello.name, language=hello.language)

        async def generate() -> str:
            return greet(hello)

        async def prepare(message: str) -> dict[str, Any]:
            return hello_result(message, hello, environment).model_dump(mode="json", by_alias=True)

        async def log_completion(result: dict[str, Any]) -> None:
            logger.info("hello world finished", run=ctx.run_id)

        await step.run("log-incoming-event", log_incoming)
        message = await step.run("generate-greeting", generate)
        result = await step.run("prepare-result", partial(prepare, message))
        await step.run("log-completion", partial(log_completion, result))
        return result

    async def on_failure(ctx: inngest.Context) -> None:
        logger.error("hello world failed", run=ctx.event.data.get("run_id"), error=ctx.event.data.get("error"))

    return client.create_function(
        fn_id=FUNCTION_ID,
        name="Hello world",
        trigger=inngest.TriggerEvent(event=HELLO),
        retries=MAX_RETRIES,
        on_failure=on_failure,
    )(run)
