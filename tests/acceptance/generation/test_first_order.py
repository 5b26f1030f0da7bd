"""From /start to the picture, on each plan: the same scenario, the same end."""

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import PlanName, Stage, labels, words


@pytest.fixture(params=["A", "B"])
async def plan(request: pytest.FixtureRequest, stage: Stage) -> PlanName:
    """Plan A with Inngest running; Plan B, in the same default mode, with Inngest stopped."""
    name: PlanName = request.param
    if name == "B":
        await stage.inngest.close()
    return name


async def test_a_picture_arrives_and_costs_its_price(stage: Stage, plan: PlanName) -> None:
    bot = await stage.start_bot(ready=plan == "A")
    ann = stage.person()
    await ann.say("/start")
    greeting = await ann.sees("Hello, Ann!")
    assert "100 ⭐" in words(greeting)
    await ann.tap("Text to image")
    await ann.sees("What do you want to see?")
    await ann.say("a lighthouse above a stormy sea")
    card = await ann.sees("Price: 1 ⭐ · you have 100 ⭐")
    assert any("Create · 1 ⭐" in label for label in labels(card))
    await ann.tap("Create · 1 ⭐")

    picture = await ann.sees("balance 99 ⭐")
    assert "a lighthouse above a stormy sea" in words(picture)
    assert [media["kind"] for media in picture["media"]] == ["photo"]
    assert {"Again · 1 ⭐", "New words", "Other size"} <= {label.split(" ", 1)[1] for label in labels(picture)}
    done = await ann.sees("Done · 1 ⭐")
    assert done["message_id"] == card["message_id"], "the card itself became the progress message"

    (job,) = await stage.ended_jobs()
    assert (job["state"], job["plan"], job["price"]) == ("succeeded", plan, 1)
    assert f"on plan {plan} ended: succeeded" in bot.tail()
    assert await get_balance(stage.db, ann.id) == Balance(99, 0)
    assert stage.replicate.asked == 1
    assert (await check_ledger(stage.db)).right


async def test_four_pictures_in_another_size_by_a_model_that_makes_one_at_a_time(
    stage: Stage, plan: PlanName
) -> None:
    await stage.start_bot(ready=plan == "A")
    ann = stage.person()
    await ann.say("/start")
    await ann.can_tap("Text to image")
    await ann.tap("Text to image")
    await ann.can_tap("FLUX schnell")
    await ann.tap("FLUX schnell")
    await ann.can_tap("Luma Photon · 5 ⭐")
    await ann.tap("Luma Photon · 5 ⭐")
    await ann.can_tap("Luma Photon")
    await ann.say("a red fox")
    await ann.sees("Price: 5 ⭐")
    await ann.tap("📐 1:1")
    await ann.can_tap("21:9")
    await ann.tap("21:9")
    await ann.can_tap("×1")
    await ann.tap("×1")
    await ann.can_tap("4")
    await ann.tap("4")
    await ann.sees("Price: 20 ⭐")
    await ann.tap("Create · 20 ⭐")

    await ann.sees("balance 80 ⭐")
    assert len(await ann.photos()) == 4
    await stage.ended_jobs()
    assert stage.replicate.asked == 4
    assert {p.input["aspect_ratio"] for p in stage.replicate.predictions} == {"21:9"}
    assert len({p.input["seed"] for p in stage.replicate.predictions}) == 4
    assert await get_balance(stage.db, ann.id) == Balance(80, 0)


async def test_again_orders_once_more_and_other_size_opens_the_card(stage: Stage, plan: PlanName) -> None:
    await stage.start_bot(ready=plan == "A")
    ann = stage.person()
    await ann.order("a red fox")
    first = await ann.can_tap("Again · 1 ⭐")
    await ann.tap("Again · 1 ⭐", message_id=first["message_id"])
    await ann.sees("balance 98 ⭐")
    await ann.tap("Again · 1 ⭐", message_id=first["message_id"])
    card = await ann.sees("Price: 1 ⭐ · you have 98 ⭐")
    assert "a red fox" in words(card), "a result repeats once by one tap; after that its card opens"
    await ann.tap("Other size", message_id=first["message_id"])
    await ann.sees("Which shape?")
    await ann.tap("16:9")
    await ann.can_tap("📐 16:9")
    await ann.tap("Create")
    await ann.sees("balance 97 ⭐")
    jobs = await stage.ended_jobs(3)
    assert [job["inputs"]["size"] for job in jobs] == ["1:1", "1:1", "16:9"]
    assert (await check_ledger(stage.db)).right
