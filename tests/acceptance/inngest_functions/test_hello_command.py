"""`/hello`: admins see Plan A at work; for everybody else it does not exist."""

from tests.support.environments.environment import Stage

ADMIN = 7


async def test_an_admin_sees_what_the_run_gave(stage: Stage) -> None:
    await stage.start_bot(ADMIN_IDS=str(ADMIN))
    admin = stage.person(ADMIN, language_code="ru")
    await admin.say("/hello Гуру")
    shown = await admin.sees("На плане A")
    assert "Привет, Гуру! 🕉️" in shown["text"]
    assert '"nodeEnv": "development"' in shown["text"]
    await stage.inngest.unplug()
    await admin.say("/hello Гуру")
    await admin.sees("На плане B")


async def test_for_others_it_is_no_command(stage: Stage) -> None:
    await stage.start_bot(ADMIN_IDS=str(ADMIN))
    person = stage.person()
    await person.say("/no_such_command")
    nothing = person.said("other.command")
    await person.sees(nothing)
    sent = await person.say("/hello")
    await person.sees(nothing, after=sent["message"]["message_id"])
    assert "/hello" not in str(await stage.telegram.calls("setMyCommands"))
