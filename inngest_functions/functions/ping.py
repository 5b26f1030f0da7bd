"""`diptych/ping`: proves that Inngest runs what it accepts. Sent only when an accepted job was not begun."""

from typing import Any, Final

import inngest
from loguru import logger

from inngest_functions.events import PING, Ping
from services.durable.pubsub import publish
from services.messaging.app_context import AppContext

FUNCTION_ID: Final = "ping"


def ping_topic(ping: Ping) -> str:
    return f"ping:{ping.id}"


def create_ping_function(client: inngest.Inngest, studio: AppContext) -> inngest.Function[Any]:
    async def run(ctx: inngest.Context) -> None:
        await publish(studio.db, ping_topic(Ping.model_validate(ctx.event.data)))

    async def on_failure(ctx: inngest.Context) -> None:
        logger.warning("a ping failed: {}", ctx.event.data.get("error"))

    return client.create_function(
        fn_id=FUNCTION_ID, trigger=inngest.TriggerEvent(event=PING), retries=0, on_failure=on_failure
    )(run)
