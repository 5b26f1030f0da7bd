"""What became of an event, asked of Inngest's REST API: https://api-docs.inngest.com/docs/inngest-api"""

import asyncio
import secrets
from typing import Any, Final

import aiohttp
import inngest
from pydantic import BaseModel, ConfigDict

_POLL_SECONDS: Final = 0.2
_FAILED_STATUSES: Final = ("Failed", "Cancelled")


class RunFailed(Exception):
    """The run ended without a result; the text is Inngest's."""


class RunNotFinished(Exception):
    """No run of the event has ended in time."""


class Run(BaseModel):
    """One run, as the API gives it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    status: str
    output: Any = None


class _Response(BaseModel):
    """Of either question: all runs of an event, or one run."""

    data: list[Run] | Run


async def wait_for_run(client: inngest.Inngest, event_id: str, *, seconds: float) -> Any:
    """The output of the run that an event began. Raises RunFailed, RunUnknown, aiohttp.ClientError."""
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
        state = f"its run is {run.status}" if run else "nothing has begun to run"
        raise RunNotFinished(f"event {event_id}: after {seconds:.0f} s {state}") from None


async def _get_run(session: aiohttp.ClientSession, client: inngest.Inngest, event_id: str) -> Run | None:
    """The event's run as it is now. In the list of an event's runs one that sleeps may be "Completed" already,
    so the run itself is asked for."""
    runs = await _request(session, client, f"/v1/events/{event_id}/runs")
    if not isinstance(runs, list) or not runs:
        return None
    run = await _request(session, client, f"/v1/runs/{runs[0].run_id}")
    return run if isinstance(run, Run) else None


async def _request(session: aiohttp.ClientSession, client: inngest.Inngest, path: str) -> list[Run] | Run:
    # A server keeps its answer for 15 s by address, so each question has an address of its own.
    url = f"{client.api_origin.rstrip('/')}{path}?asked={secrets.token_hex(4)}"
    async with session.get(url) as response:
        response.raise_for_status()
        return _Response.model_validate(await response.json(content_type=None)).data


def _authorization(client: inngest.Inngest) -> dict[str, str]:
    """The API takes the signing key itself, as a bearer: https://api-docs.inngest.com/docs/inngest-api"""
    return {"Authorization": f"Bearer {client.signing_key}"} if client.signing_key else {}
