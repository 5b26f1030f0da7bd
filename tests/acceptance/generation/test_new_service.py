"""A twelfth service in one file: it is in the menu, asks its questions, has a price, and runs on both plans."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import PlanName, button_labels, message_text, wait_until
from tests.support.environments.factory import EnvironmentFactory
from tests.support.environments.offline import (
    WELCOME_CREDITS,
    ConversationUser,
    OfflineEnvironment,
    has_button,
    make_photo,
    wait_for_latest_job,
)
from tests.support.processes.bot_process import ROOT

ECHO_IMAGE = '''
"""The same image again."""

from services.generation.inputs import FileInput, FileRef, TextInput
from services.generation.result import JobResult, Media
from services.generation.spec import ServiceSpec
from services.safety.moderation import moderate
from storage.jobs.blobs import put_blob


async def run(context):
    await moderate(context.steps, context.providers.moderation, context.job.inputs["prompt"])

    async def echo():
        photo = FileRef.model_validate(context.job.inputs["image"])
        await put_blob(context.db, context.job.id, "echo", await context.download(photo.file_id))
        return "echo"

    blob = await context.steps.run("echo", echo)
    return JobResult(media=(Media(kind="photo", output=blob, blob=True),), offline=True)


SPEC = ServiceSpec(
    id="echo_image",
    event="image/echo-image.start",
    function_id="generate-echo-image",
    emoji="🪞",
    inputs=(FileInput("image", ("photo",)), TextInput("prompt", max_length=100)),
    price=lambda values: 3,
    run=run,
    menu_position=15,
    actions=("again", "prompt", "image_to_video"),
)
'''
TEXTS = {
    "name": "Echo",
    "about": "the same image once more",
    "ask.image": "Which image should come back?",
    "ask.prompt": "Which caption should it have?",
    "go_on": "🪞 Echo it",
    "price": "3 ⭐",
}
STARTUP_CODE = """
from pathlib import Path
from tests.support.processes.bot_process import forget_imported_packages
forget_imported_packages()
import services.generation, services.core.i18n
services.generation.__path__.append({services!r})
services.core.i18n.Texts.__init__.__defaults__ = (Path({locales!r}),)
"""
"""Adds a folder to the package of services before the bot is imported."""


@pytest.fixture
async def environment(environments: EnvironmentFactory, tmp_path: Path) -> AsyncIterator[OfflineEnvironment]:
    services, locales = tmp_path / "more_services", tmp_path / "locales"
    services.mkdir()
    (services / "echo_image.py").write_text(ECHO_IMAGE, encoding="utf-8")
    shutil.copytree(ROOT / "locales", locales)
    for catalogue in locales.glob("*/LC_MESSAGES/*.po"):
        texts = "".join(f'\nmsgid "service.echo_image.{key}"\nmsgstr "{text}"\n' for key, text in TEXTS.items())
        catalogue.write_text(catalogue.read_text(encoding="utf-8") + texts, encoding="utf-8")
    first = STARTUP_CODE.format(services=str(services), locales=str(locales))
    async with environments.open(OfflineEnvironment, startup_code=first) as environment:
        yield environment


async def test_new_service_in_one_file_works_on_both_plans(environment: OfflineEnvironment) -> None:
    bot = await environment.start_bot()
    ann = environment.conversation_user(1001)
    await ann.send_text_and_wait("/menu")
    services = [
        label
        for label in button_labels(await ann.last_message())
        if not label.startswith(("🕘", "🧬 Models", "🎙 Voices"))
    ]
    assert services[1] == "🪞 Echo", "at the position of its spec"
    await ann.send_text_and_wait("/price")
    assert "🪞 Echo — 3 ⭐" in message_text(await ann.last_message())
    await ann.send_text_and_wait("/help")
    assert "🪞 Echo — the same image once more" in message_text(await ann.last_message())

    spent = 0
    for plan in ("A", "B"):
        if plan == "B":
            await environment.inngest.close()
            await _wait_until_plan_a_is_unavailable(environment)
        spent += 3
        await _order_and_check(environment, ann, plan, spent)
        assert f"plan={plan} state=succeeded" in bot.log_tail()

    await ann.upload_and_wait("photo", "another.png", make_photo((40, 70, 200)))
    assert has_button(await ann.last_message(), "Echo"), "offered for an unprompted photo"


async def _order_and_check(
    environment: OfflineEnvironment, ann: ConversationUser, plan: PlanName, spent: int
) -> None:
    image = make_photo((30, 160, 60))
    await ann.open_service("🪞 Echo")
    assert "Which image should come back?" in message_text(await ann.last_message())
    await ann.upload_and_wait("photo", "green.png", image)
    assert "Which caption should it have?" in message_text(await ann.last_message())
    await ann.send_text_and_wait("once more")
    result = await ann.confirm_order(3)
    assert await ann.download_media(result) == image
    assert {"🔁 Again · 3 ⭐", "✏️ New words", "🌀 Animate"} <= set(button_labels(result))
    job = await wait_for_latest_job(environment, ann.id)
    assert (job["service"], job["state"], job["plan"], job["price"]) == ("echo_image", "succeeded", plan, 3)
    assert await get_balance(environment.db, ann.id) == Balance(WELCOME_CREDITS - spent, 0)
    assert (await check_ledger(environment.db)).is_consistent


async def _wait_until_plan_a_is_unavailable(environment: OfflineEnvironment) -> None:
    async def look() -> bool:
        return bool((await environment.health(environment.bots[0]))["inngest"] != "ok")

    await wait_until(look, what="Plan A is unavailable")
