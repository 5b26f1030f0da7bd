"""Background tasks end when they are cancelled, even if their cleanup fails."""

import asyncio

from services.core.background import BackgroundTasks


async def test_drain_repeats_a_cancellation_that_was_lost_in_cleanup() -> None:
    background = BackgroundTasks()
    runs = 0

    async def follow() -> None:
        nonlocal runs
        while True:
            try:
                runs += 1
                try:
                    await asyncio.Event().wait()
                finally:
                    if runs == 1:
                        raise ConnectionError("the connection is gone already")
            except ConnectionError:
                pass

    background.run_forever(follow, "settings")
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await background.drain(0)
    assert runs == 2
