"""Gets the result of an event's run from Inngest's REST API: https://api-docs.inngest.com/docs/inngest-api"""

import asyncio
import secrets
from typing import Any, Final

import aiohttp
import inngest
from pydantic import BaseModel, ConfigDict

_POLL_SECONDS: Final = 0.2
_FAILED_STATUSES: Final = ("Failed", "Cancelled")


class RunFailed(Exception):
    """The run failed or was cancelled. The message is Inngest's."""


class RunNotFinished(Exception):
    """No run of the event finished in time."""


class Run(BaseModel):
    """One run, as the API returns it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    status: str
    output: Any = None


class _Response(BaseModel):
    """The response to either request: all runs of an event, or one run."""

    data: list[Run] | Run


async def wait_for_run(client: inngest.Inngest, event_id: str, *, seconds: float) -> Any:
    """Wait for the run that an event started.

    Args:
        client: The Inngest client.
        event_id: Inngest's id of the event.
        seconds: How long to wait.

    Returns:
        The run's output.

    Raises:
        RunFailed: The run failed or was cancelled.
        RunNotFinished: The run did not finish in time.
        aiohttp.ClientError: Inngest's API cannot be reached.
    """
    run: Run | None = None
    try:
        async with aiohttp.ClientSession(headers=_authorization(client)) as session, asyncio.timeout(seconds):
            while True:
                run = await _get_run(session, client, event_id)
                if run is not None and run.status == "Completed":
                    return run.output
                if run is not None and run.status in _FAILED_STATUSES:
                    raise RunFailed(f"run {run.run_id}: {run.status}: {run.output}")
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        state = f"run still {run.status}" if run else "no run started"
        raise RunNotFinished(f"event {event_id}: {state} after {seconds:.0f} s") from None


async def _get_run(session: aiohttp.ClientSession, client: inngest.Inngest, event_id: str) -> Run | None:
    """The event's run; None if it has not started.

    The list of an event's runs may show a sleeping run as "Completed", so the run itself is requested as well.
    """
    runs = await _request(session, client, f"/v1/events/{event_id}/runs")
    if not isinstance(runs, list) or not runs:
        return None
    run = await _request(session, client, f"/v1/runs/{runs[0].run_id}")
    return run if isinstance(run, Run) else None


async def _request(session: aiohttp.ClientSession, client: inngest.Inngest, path: str) -> list[Run] | Run:
    # The server caches responses by URL for 15 s, so each request gets a unique URL.
    url = f"{client.api_origin.rstrip('/')}{path}?nonce={secrets.token_hex(4)}"
    async with session.get(url) as response:
        response.raise_for_status()
        return _Response.model_validate(await response.json(content_type=None)).data


def _authorization(client: inngest.Inngest) -> dict[str, str]:
    """The API takes the signing key as a bearer token: https://api-docs.inngest.com/docs/inngest-api"""
    return {"Authorization": f"Bearer {client.signing_key}"} if client.signing_key else {}
