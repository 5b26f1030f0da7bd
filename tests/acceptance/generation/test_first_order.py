"""From /start to the image, on each plan: the same scenario with the same result."""

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, PlanName, button_labels, message_text


@pytest.fixture(params=["A", "B"])
async def plan(request: pytest.FixtureRequest, environment: Environment) -> PlanName:
    """Plan A with Inngest running; Plan B, in the same default mode, with Inngest stopped."""
    name: PlanName = request.param
    if name == "B":
        await environment.inngest.close()
    return name


async def test_first_order_delivers_an_image_and_charges_its_price(
    environment: Environment, plan: PlanName
) -> None:
    bot = await environment.start_bot(ready=plan == "A")
    ann = environment.user()
    await ann.send_text("/start")
    greeting = await ann.wait_for_text("Hello, Ann!")
    assert "100 ⭐" in message_text(greeting)
    await ann.tap("Text to image")
    await ann.wait_for_text("What do you want to see?")
    await ann.send_text("a lighthouse above a stormy sea")
    card = await ann.wait_for_text("Price: 1 ⭐ · you have 100 ⭐")
    assert any("Create · 1 ⭐" in label for label in button_labels(card))
    await ann.tap("Create · 1 ⭐")

    image = await ann.wait_for_text("balance 99 ⭐")
    assert "a lighthouse above a stormy sea" in message_text(image)
    assert [media["kind"] for media in image["media"]] == ["photo"]
    assert {"Again · 1 ⭐", "New words", "Other size"} <= {
        label.split(" ", 1)[1] for label in button_labels(image)
    }
    done = await ann.wait_for_text("Done · 1 ⭐")
    assert done["message_id"] == card["message_id"], "the card itself became the progress message"

    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["plan"], job["price"]) == ("succeeded", plan, 1)
    assert f"plan={plan} state=succeeded" in bot.log_tail()
    assert await get_balance(environment.db, ann.id) == Balance(99, 0)
    assert environment.replicate.creation_attempts == 1
    assert (await check_ledger(environment.db)).is_consistent


async def test_order_of_four_images_with_a_single_image_model_makes_four_predictions(
    environment: Environment, plan: PlanName
) -> None:
    await environment.start_bot(ready=plan == "A")
    ann = environment.user()
    await ann.send_text("/start")
    await ann.wait_for_button("Text to image")
    await ann.tap("Text to image")
    await ann.wait_for_button("FLUX schnell")
    await ann.tap("FLUX schnell")
    await ann.wait_for_button("Luma Photon · 5 ⭐")
    await ann.tap("Luma Photon · 5 ⭐")
    await ann.wait_for_button("Luma Photon")
    await ann.send_text("a red fox")
    await ann.wait_for_text("Price: 5 ⭐")
    await ann.tap("📐 1:1")
    await ann.wait_for_button("21:9")
    await ann.tap("21:9")
    await ann.wait_for_button("×1")
    await ann.tap("×1")
    await ann.wait_for_button("4")
    await ann.tap("4")
    await ann.wait_for_text("Price: 20 ⭐")
    await ann.tap("Create · 20 ⭐")

    await ann.wait_for_text("balance 80 ⭐")
    assert len(await ann.photo_messages()) == 4
    await environment.wait_for_ended_jobs()
    assert environment.replicate.creation_attempts == 4
    assert {p.input["aspect_ratio"] for p in environment.replicate.predictions} == {"21:9"}
    assert len({p.input["seed"] for p in environment.replicate.predictions}) == 4
    assert await get_balance(environment.db, ann.id) == Balance(80, 0)


async def test_again_button_orders_once_and_other_size_button_opens_the_card(
    environment: Environment, plan: PlanName
) -> None:
    await environment.start_bot(ready=plan == "A")
    ann = environment.user()
    await ann.order_from_menu("a red fox")
    first = await ann.wait_for_button("Again · 1 ⭐")
    await ann.tap("Again · 1 ⭐", message_id=first["message_id"])
    await ann.wait_for_text("balance 98 ⭐")
    await ann.tap("Again · 1 ⭐", message_id=first["message_id"])
    card = await ann.wait_for_text("Price: 1 ⭐ · you have 98 ⭐")
    assert "a red fox" in message_text(card), "one tap repeats a result once; after that it opens the card"
    await ann.tap("Other size", message_id=first["message_id"])
    await ann.wait_for_text("Which shape?")
    await ann.tap("16:9")
    await ann.wait_for_button("📐 16:9")
    await ann.tap("Create")
    await ann.wait_for_text("balance 97 ⭐")
    jobs = await environment.wait_for_ended_jobs(3)
    assert [job["inputs"]["size"] for job in jobs] == ["1:1", "1:1", "16:9"]
    assert (await check_ledger(environment.db)).is_consistent
