"""Send `demo/hello.world` from the command line and print what its run returns:

python -m inngest_functions.hello --name Гуру --language ru
"""

import argparse
import asyncio
import json
import sys

import aiohttp
import inngest
from inngest._internal import errors  # the SDK exports the types of its errors nowhere else

from inngest_functions.client import create_client
from inngest_functions.events import HELLO, HelloWorld
from inngest_functions.runs import RunFailed, RunNotFinished, wait_for_run
from services.hello import HelloResult

_WAIT_SECONDS = 30.0


def build_hello_event(name: str, language: str, **extra: object) -> inngest.Event:
    """Build the event and validate its data.

    Args:
        name: The name to greet.
        language: The greeting's language.
        **extra: Further fields, which the run returns unchanged.

    Raises:
        ValidationError: A field has the wrong type.
    """
    data = HelloWorld.model_validate({"name": name, "language": language, **extra})
    return inngest.Event(name=HELLO, data=data.model_dump(mode="json"))


async def send_hello_world_event(
    client: inngest.Inngest, name: str = "World", language: str = "en", **extra: object
) -> str:
    """Send `demo/hello.world`.

    Args:
        client: The Inngest client.
        name: The name to greet.
        language: The greeting's language.
        **extra: Further fields, which the run returns unchanged.

    Returns:
        Inngest's id of the event.

    Raises:
        SendEventsError: Inngest did not accept the event (an error of the SDK).
    """
    return (await client.send(build_hello_event(name, language, **extra)))[0]


async def run_hello(client: inngest.Inngest, name: str, language: str, *, seconds: float) -> HelloResult:
    """Send the event and wait for the result of its run.

    Args:
        client: The Inngest client.
        name: The name to greet.
        language: The greeting's language.
        seconds: How long to wait.

    Raises:
        RunFailed: The run failed.
        RunNotFinished: The run did not finish in time.
        SendEventsError: Inngest did not accept the event (an error of the SDK).
        aiohttp.ClientError: Inngest's API cannot be reached.
    """
    event_id = await send_hello_world_event(client, name, language)
    return HelloResult.model_validate(await wait_for_run(client, event_id, seconds=seconds))


def main() -> int:
    """Run the command. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m inngest_functions.hello", description=__doc__)
    parser.add_argument("--name", default="World")
    parser.add_argument("--language", default="en", help="en, ru, es or fr; anything else is answered in English")
    parser.add_argument("--seconds", type=float, default=_WAIT_SECONDS, help="how long to wait for the result")
    args = parser.parse_args()
    try:
        result = asyncio.run(run_hello(create_client(), args.name, args.language, seconds=args.seconds))
    except (errors.Error, aiohttp.ClientError, RunFailed, RunNotFinished, OSError) as error:
        print(f"No result: {type(error).__name__}: {error}. Is Inngest running?", file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps(result.model_dump(mode="json", by_alias=True), ensure_ascii=False, indent=2))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
