"""A twelfth service as one file: it stands in the menu, asks, has a price, and runs on both plans."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from storage.pool import Pool
from tests.support.environments.environment import PlanName, labels, until, words
from tests.support.environments.offline import STARS, Guest, OfflineStage, ended_job_of, has_button, photo
from tests.support.processes.bot_process import ROOT, Forge

ECHO_IMAGE = '''
"""The same picture once more."""

from services.generation.inputs import FileInput, FileRef, TextInput
from services.generation.result import Media, Result
from services.generation.spec import ServiceSpec
from services.safety.moderation import moderate
from storage.jobs.blobs import put_blob


async def run(work):
    await moderate(work, work.job.inputs["prompt"])

    async def echo():
        photo = FileRef.model_validate(work.job.inputs["image"])
        await put_blob(work.db, work.job.id, "echo", await work.download(photo.file_id))
        return "echo"

    blob = await work.steps.run("echo", echo)
    return Result(media=(Media(kind="photo", output=blob, blob=True),), offline=True)


SPEC = ServiceSpec(
    id="echo_image",
    event="image/echo-image.start",
    function_id="generate-echo-image",
    emoji="🪞",
    inputs=(FileInput("image", ("photo",)), TextInput("prompt", max_length=100)),
    price=lambda values: 3,
    run=run,
    place=15,
    actions=("again", "prompt", "image_to_video"),
)
'''
TEXTS = {
    "name": "Echo",
    "about": "the same picture once more",
    "ask.image": "Which picture shall come back?",
    "ask.prompt": "What shall be said with it?",
    "go_on": "🪞 Echo it",
    "price": "3 ⭐",
}
WITH_ONE_MORE = """
from pathlib import Path
from tests.support.processes.bot_process import import_ours_anew
import_ours_anew()
import services.generation, services.core.i18n
services.generation.__path__.append({services!r})
services.core.i18n.Texts.__init__.__defaults__ = (Path({locales!r}),)
"""
"""The package of services has one folder more, from before the bot is imported."""


@pytest.fixture
async def stage(db: Pool, dsn: str, tmp_path: Path, forge: Forge) -> AsyncIterator[OfflineStage]:
    services, locales = tmp_path / "more_services", tmp_path / "locales"
    services.mkdir()
    (services / "echo_image.py").write_text(ECHO_IMAGE, encoding="utf-8")
    shutil.copytree(ROOT / "locales", locales)
    for catalogue in locales.glob("*/LC_MESSAGES/*.po"):
        texts = "".join(f'\nmsgid "service.echo_image.{key}"\nmsgstr "{text}"\n' for key, text in TEXTS.items())
        catalogue.write_text(catalogue.read_text(encoding="utf-8") + texts, encoding="utf-8")
    first = WITH_ONE_MORE.format(services=str(services), locales=str(locales))
    stage = OfflineStage(db, dsn, tmp_path, forge, first=first)
    await stage.open()
    yield stage
    await stage.close()


async def test_a_twelfth_service_is_one_file(stage: OfflineStage) -> None:
    bot = await stage.start_bot()
    ann = stage.guest(1001)
    await ann.says("/menu")
    services = [
        label for label in labels(await ann.last()) if not label.startswith(("🕘", "🧬 Models", "🎙 Voices"))
    ]
    assert services[1] == "🪞 Echo", "where its spec has put it"
    await ann.says("/price")
    assert "🪞 Echo — 3 ⭐" in words(await ann.last())
    await ann.says("/help")
    assert "🪞 Echo — the same picture once more" in words(await ann.last())

    spent = 0
    for plan in ("A", "B"):
        if plan == "B":
            await stage.inngest.close()
            await _plan_a_is_closed(stage)
        spent += 3
        await _ordered(stage, ann, plan, spent)
        assert f"on plan {plan} ended: succeeded" in bot.tail()

    await ann.sends("photo", "another.png", photo((40, 70, 200)))
    assert has_button(await ann.last(), "Echo"), "offered for a photo out of the blue"


async def _ordered(stage: OfflineStage, ann: Guest, plan: PlanName, spent: int) -> None:
    picture = photo((30, 160, 60))
    await ann.begin("🪞 Echo")
    assert "Which picture shall come back?" in words(await ann.last())
    await ann.sends("photo", "green.png", picture)
    assert "What shall be said with it?" in words(await ann.last())
    await ann.says("once more")
    result = await ann.create(3)
    assert await ann.content(result) == picture
    assert {"🔁 Again · 3 ⭐", "✏️ New words", "🌀 Animate"} <= set(labels(result))
    job = await ended_job_of(stage, ann.id)
    assert (job["service"], job["state"], job["plan"], job["price"]) == ("echo_image", "succeeded", plan, 3)
    assert await get_balance(stage.db, ann.id) == Balance(STARS - spent, 0)
    assert (await check_ledger(stage.db)).right


async def _plan_a_is_closed(stage: OfflineStage) -> None:
    async def look() -> bool:
        return bool((await stage.health(stage.bots[0]))["inngest"] != "ok")

    await until(look, what="plan A is closed")
