"""Work behind the answers ends when it is told to, whatever fails on its way out."""

import asyncio

from services.core.background import BackgroundTasks


async def test_a_cancellation_that_was_lost_in_the_cleaning_up_is_made_again() -> None:
    background = BackgroundTasks()
    turns = 0

    async def follow() -> None:
        nonlocal turns
        while True:
            try:
                turns += 1
                try:
                    await asyncio.Event().wait()
                finally:
                    if turns == 1:
                        raise ConnectionError("the connection is gone already")
            except ConnectionError:
                pass

    background.run_forever(follow, "settings")
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await background.drain(0)
    assert turns == 2
