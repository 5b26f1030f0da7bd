"""`/hello` shows admins that Plan A works; for everyone else it does not exist."""

from tests.support.environments.environment import Environment

ADMIN = 7


async def test_hello_from_an_admin_shows_the_runs_result(environment: Environment) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN))
    admin = environment.user(ADMIN, language_code="ru")
    await admin.send_text("/hello Гуру")
    shown = await admin.wait_for_text("На плане A")
    assert "Привет, Гуру! 🕉️" in shown["text"]
    assert '"nodeEnv": "development"' in shown["text"]
    await environment.inngest.close_ports()
    await admin.send_text("/hello Гуру")
    await admin.wait_for_text("На плане B")


async def test_hello_from_a_non_admin_is_unknown(environment: Environment) -> None:
    await environment.start_bot(ADMIN_IDS=str(ADMIN))
    user = environment.user()
    await user.send_text("/no_such_command")
    unknown_command = user.text("other.command")
    await user.wait_for_text(unknown_command)
    sent = await user.send_text("/hello")
    await user.wait_for_text(unknown_command, after=sent["message"]["message_id"])
    assert "/hello" not in str(await environment.telegram.api_calls("setMyCommands"))
