"""At most one worker holds a job: the lease, its epoch, and who may claim it when."""

import asyncio

import pytest

from storage.jobs.jobs import (
    claim_job,
    claim_next_job,
    end_job,
    get_job,
    insert_job,
    move_to_plan_b,
    queue_position,
    release_job,
    renew_lease,
)
from storage.jobs.journal import finish_step, read_journal, start_step
from storage.pool import Pool
from tests.support.test_data.factories import add_job, add_user, new_job

ALL = ["text_to_image"]


@pytest.fixture(autouse=True)
async def user(db: Pool) -> None:
    await add_user(db)


async def _expire_lease(db: Pool) -> None:
    await db.execute("UPDATE jobs SET claimable_at = now() - interval '1 second'")


async def test_insert_job_with_the_same_order_key_creates_one_job(db: Pool) -> None:
    jobs = await asyncio.gather(*(insert_job(db, new_job(order_key="same")) for _ in range(5)))
    assert len([job for job in jobs if job]) == 1


async def test_claim_job_by_many_workers_succeeds_for_one(db: Pool) -> None:
    job = await add_job(db)
    claims = await asyncio.gather(*(claim_job(db, job.id, f"r{n}", "B", seconds=10) for n in range(8)))
    assert [claim.epoch for claim in claims if claim] == [1]


async def test_claim_job_again_by_the_same_worker_keeps_the_epoch(db: Pool) -> None:
    job = await add_job(db, plan="A", start_timeout=30)
    first = await claim_job(db, job.id, "run-1", "A", seconds=10)
    again = await claim_job(db, job.id, "run-1", "A", seconds=10)
    assert first
    assert again
    assert first.epoch == again.epoch == 1


async def test_plan_a_job_is_taken_over_only_after_its_start_deadline(db: Pool) -> None:
    job = await add_job(db, plan="A", start_timeout=30)
    assert await claim_next_job(db, "b", seconds=10, per_user_limit=2, takeover_services=ALL) is None
    await _expire_lease(db)
    assert await claim_next_job(db, "b", seconds=10, per_user_limit=2, takeover_services=[]) is None, (
        "mode a: never"
    )
    taken = await claim_next_job(db, "b", seconds=10, per_user_limit=2, takeover_services=ALL)
    assert taken
    assert (taken.id, taken.plan, taken.epoch) == (job.id, "B", 1)
    assert await claim_job(db, job.id, "run-1", "A", seconds=10) is None, "the Inngest run starts too late"


async def test_writes_with_the_old_epoch_after_a_takeover_are_refused(db: Pool) -> None:
    job = await add_job(db)
    old = await claim_job(db, job.id, "old", "B", seconds=10)
    await _expire_lease(db)
    new = await claim_next_job(db, "new", seconds=0.1, per_user_limit=2, takeover_services=ALL)
    assert old
    assert new
    assert new.epoch == old.epoch + 1
    assert not await renew_lease(db, job.id, old.epoch, seconds=10)
    assert await start_step(db, job.id, "s", old.epoch) is None
    assert not await finish_step(db, job.id, "s", old.epoch, {"value": 1})
    assert await end_job(db, job.id, old.epoch, "succeeded", failure=None, result={}) is None
    await release_job(db, job.id, old.epoch)
    current = await get_job(db, job.id)
    assert current
    assert current.worker_id == "new"
    assert await read_journal(db, job.id) == {}


async def test_step_is_finished_once_and_keeps_its_first_start_time(db: Pool) -> None:
    job = await add_job(db)
    claimed = await claim_job(db, job.id, "me", "B", seconds=10)
    assert claimed
    started_at = await start_step(db, job.id, "s", claimed.epoch)
    assert await start_step(db, job.id, "s", claimed.epoch) == started_at
    assert await finish_step(db, job.id, "s", claimed.epoch, {"value": 1})
    assert not await finish_step(db, job.id, "s", claimed.epoch, {"value": 2})
    assert (await read_journal(db, job.id))["s"].result == {"value": 1}


async def test_ended_job_cannot_be_claimed(db: Pool) -> None:
    job = await add_job(db)
    claimed = await claim_job(db, job.id, "me", "B", seconds=10)
    assert claimed
    assert await end_job(db, job.id, claimed.epoch, "failed", failure="failure.provider", result=None)
    await _expire_lease(db)
    assert await claim_job(db, job.id, "me", "B", seconds=10) is None
    assert await claim_next_job(db, "b", seconds=10, per_user_limit=2, takeover_services=ALL) is None


async def test_claim_next_job_takes_the_oldest_within_the_limit_per_user(db: Pool) -> None:
    await add_user(db, 2002)
    mine = [await add_job(db) for _ in range(3)]
    theirs = await add_job(db, 2002)
    taken = [await claim_next_job(db, "b", seconds=10, per_user_limit=2, takeover_services=ALL) for _ in range(4)]
    assert [job.id if job else None for job in taken] == [mine[0].id, mine[1].id, theirs.id, None]


async def test_concurrent_workers_never_claim_the_same_job(db: Pool) -> None:
    for user_id in range(20):
        await add_user(db, user_id)
        await add_job(db, user_id)

    async def take(name: str) -> list[str]:
        taken = []
        while job := await claim_next_job(db, name, seconds=10, per_user_limit=2, takeover_services=ALL):
            taken.append(str(job.id))
        return taken

    taken = sum(await asyncio.gather(*(take(f"r{n}") for n in range(5))), [])
    assert len(taken) == len(set(taken)) == 20


async def test_queue_position_counts_the_jobs_before(db: Pool) -> None:
    first, second = await add_job(db), await add_job(db)
    assert (await queue_position(db, first.id), await queue_position(db, second.id)) == (1, 2)
    await claim_job(db, first.id, "me", "B", seconds=10)
    assert (await queue_position(db, first.id), await queue_position(db, second.id)) == (None, 1)


async def test_job_moved_to_plan_b_can_be_claimed_at_once(db: Pool) -> None:
    job = await add_job(db, plan="A", start_timeout=30)
    await move_to_plan_b(db, [job.id])
    taken = await claim_next_job(db, "b", seconds=10, per_user_limit=2, takeover_services=[])
    assert taken
    assert taken.id == job.id


async def test_job_of_a_paying_user_goes_before_slightly_older_jobs(db: Pool) -> None:
    await add_user(db, 1002)
    await db.execute(
        "INSERT INTO topups (id, user_id, bot_name, stars, paid_at)"
        " VALUES (gen_random_uuid(), 1002, 'main', 50, now())"
    )
    early = await add_job(db)
    later = await add_job(db, 1002)
    long_ago = await add_job(db)
    await db.execute("UPDATE jobs SET created_at = now() - interval '10 minutes' WHERE id = $1", long_ago.id)
    assert [await queue_position(db, job.id) for job in (long_ago, later, early)] == [1, 2, 3]
    taken = [await claim_next_job(db, "b", seconds=10, per_user_limit=3, takeover_services=ALL) for _ in range(3)]
    assert [job.id for job in taken if job] == [long_ago.id, later.id, early.id]
