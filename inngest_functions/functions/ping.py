"""`diptych/ping`: proves that Inngest runs what it accepts. Sent only if an accepted job was not started."""

from typing import Any, Final

import inngest
from loguru import logger

from inngest_functions.events import PING, Ping
from services.durable.pubsub import publish
from storage.pool import Pool

FUNCTION_ID: Final = "ping"


def ping_topic(ping: Ping) -> str:
    """The topic that is published once a ping has run."""
    return f"ping:{ping.id}"


def create_ping_function(client: inngest.Inngest, db: Pool) -> inngest.Function[Any]:
    """Create the function that a ping starts."""

    async def run(ctx: inngest.Context) -> None:
        await publish(db, ping_topic(Ping.model_validate(ctx.event.data)))

    async def on_failure(ctx: inngest.Context) -> None:
        logger.warning("ping failed", error=ctx.event.data.get("error"))

    return client.create_function(
        fn_id=FUNCTION_ID, trigger=inngest.TriggerEvent(event=PING), retries=0, on_failure=on_failure
    )(run)
