"""`/hello`: admins see Plan A at work; for everybody else it does not exist."""

from tests.support.environments.environment import Environment

ADMIN = 7


async def test_an_admin_sees_what_the_run_gave(environment: Environment) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN))
    admin = environment.user(ADMIN, language_code="ru")
    await admin.send_text("/hello Гуру")
    shown = await admin.wait_for_text("На плане A")
    assert "Привет, Гуру! 🕉️" in shown["text"]
    assert '"nodeEnv": "development"' in shown["text"]
    await environment.inngest.close_ports()
    await admin.send_text("/hello Гуру")
    await admin.wait_for_text("На плане B")


async def test_for_others_it_is_no_command(environment: Environment) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN))
    person = environment.user()
    await person.send_text("/no_such_command")
    nothing = person.text("other.command")
    await person.wait_for_text(nothing)
    sent = await person.send_text("/hello")
    await person.wait_for_text(nothing, after=sent["message"]["message_id"])
    assert "/hello" not in str(await environment.telegram.api_calls("setMyCommands"))
