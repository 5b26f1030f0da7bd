"""Settings: what each means, and how an invalid one is reported."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.settings import SANDBOX_TOKEN, Settings, SettingsError, read_settings

TOKEN = "123456789:AAbbCCddEEff"
Read = Callable[..., Settings]
PRODUCTION = {
    "ENVIRONMENT": "production",
    "BOT_TOKEN": TOKEN,
    "DATABASE_URL": "postgresql://there/diptych",
    "INNGEST_EVENT_KEY": "event",
    "INNGEST_SIGNING_KEY": "signkey-prod-12345678",
    "REPLICATE_API_TOKEN": "r8_secret",
    "OPENAI_API_KEY": "sk-secret",
    "ELEVENLABS_API_KEY": "xi-secret",
    "SUPPORT_CONTACT": "@diptych_support",
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Read:
    """Read the settings of a process that has only these variables."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def read(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return read_settings()

    return read


def read_error(read: Read, **variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(**variables)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_settings_without_variables_run_everything_on_this_machine(read: Read) -> None:
    settings = read()
    assert settings.sandbox
    assert settings.tokens == {"main": SANDBOX_TOKEN}
    assert settings.telegram_url == "http://127.0.0.1:3001/sandbox"
    assert settings.bind_host == "127.0.0.1"
    assert settings.inngest_url == "http://127.0.0.1:9288"
    assert settings.database_url.get_secret_value() == ""
    assert settings.credits_at_start > 0


def test_settings_with_a_bot_token_replace_the_sandbox(read: Read) -> None:
    settings = read(BOT_TOKEN=TOKEN, TELEGRAM_API_URL="http://127.0.0.1:8081/")
    assert not settings.sandbox
    assert settings.tokens == {"main": TOKEN}
    assert settings.telegram_url == "http://127.0.0.1:8081"
    assert settings.bind_host == "0.0.0.0"
    assert settings.credits_at_start == 25


def test_settings_with_several_bots_name_each(read: Read) -> None:
    settings = read(BOTS=f"first:{TOKEN}, second:987654321:AAbbCCddEEff,")
    assert settings.tokens == {"first": TOKEN, "second": "987654321:AAbbCCddEEff"}
    assert not settings.sandbox


def test_settings_with_another_bot_keep_the_main_one(read: Read) -> None:
    assert list(read(BOT_TOKEN=TOKEN, BOTS="second:987654321:AAbbCCddEEff").tokens) == ["main", "second"]


def test_admin_ids_are_read_from_a_list(read: Read) -> None:
    assert read(ADMIN_IDS="12, 34,").admin_ids == {12, 34}


def test_settings_with_empty_variables_take_the_defaults(read: Read) -> None:
    settings = read(PORT="", ADMIN_IDS="", BOTS="", WELCOME_CREDITS="", TELEGRAM_MODE="")
    assert (settings.port, settings.telegram_mode) == (3001, "polling")
    assert not settings.admin_ids


def test_settings_in_the_environment_override_the_file(read: Read, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=4000\nADMIN_IDS=7\nSOMETHING_ELSE=1\n")
    settings = read(PORT="4001")
    assert settings.port == 4001
    assert settings.admin_ids == {7}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("ENVIRONMENT", "prod"),
        ("TELEGRAM_MODE", "pull"),
        ("TELEGRAM_API_URL", "localhost:8081"),
        ("INNGEST_BASE_URL", "ftp://there"),
        ("PUBLIC_URL", "example.com"),
        ("TELEGRAM_WEBHOOK_SECRET", "with space"),
        ("TELEGRAM_WEBHOOK_SECRET", "x" * 257),
        ("BOT_TOKEN", "not-a-token"),
        ("BOTS", "main"),
        ("BOTS", "main:not-a-token"),
        ("ADMIN_IDS", "12,me"),
        ("DATABASE_POOL_SIZE", "1"),
        ("JOB_LEASE_SECONDS", "0"),
        ("PLAN_B_SLOTS", "0"),
        ("JOBS_PER_PERSON", "none"),
        ("WELCOME_CREDITS", "-1"),
        ("INNGEST_SEND_DEADLINE", "60"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_invalid_setting_is_reported_by_name_in_one_line(read: Read, name: str, value: str) -> None:
    assert read_error(read, **{name: value}).startswith(f"{name}: ")


def test_invalid_secret_is_not_shown(read: Read) -> None:
    assert "s3cr3t" not in read_error(read, BOT_TOKEN="s3cr3t")
    assert "s3cr3t" not in read_error(read, BOT_TOKEN=TOKEN, TELEGRAM_WEBHOOK_SECRET="s3cr3t with space")


def test_settings_as_text_show_no_secret(read: Read) -> None:
    settings = read(
        **PRODUCTION
        | {"BOTS": "second:987654321:AAbbCCddEEff", "OPENAI_API_KEY": "sk-1", "DATABASE_URL": "p://u:pw@h"}
    )
    shown = repr(settings) + str(settings.model_dump())
    for secret in (TOKEN, "AAbbCCddEEff", "r8_secret", "sk-1", "signkey", "u:pw"):
        assert secret not in shown


def test_webhook_mode_without_a_public_url_is_invalid(read: Read) -> None:
    assert read_error(read, TELEGRAM_MODE="webhook").startswith("PUBLIC_URL: ")


def test_production_with_complete_settings_is_accepted(read: Read) -> None:
    settings = read(**PRODUCTION)
    assert settings.inngest_url is None, "Inngest's cloud"
    assert settings.telegram_url == "", "Telegram's own"


@pytest.mark.parametrize("missing", sorted(set(PRODUCTION) - {"ENVIRONMENT"}))
def test_production_without_a_required_setting_is_invalid(read: Read, missing: str) -> None:
    assert read_error(read, **{name: value for name, value in PRODUCTION.items() if name != missing}).startswith(
        missing
    )


def test_production_with_a_webhook_without_tls_is_invalid(read: Read) -> None:
    plain = {"TELEGRAM_MODE": "webhook", "PUBLIC_URL": "http://bot.example.com"}
    assert read_error(read, **PRODUCTION | plain).startswith("PUBLIC_URL: ")
    assert (
        read(**PRODUCTION | plain | {"PUBLIC_URL": "https://bot.example.com/"}).public_url
        == "https://bot.example.com"
    )


def test_example_file_names_every_setting_with_its_default(read: Read, tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[3] / ".env.example"
    lines = [line for line in example.read_text().splitlines() if line and not line.startswith("#")]
    named = {line.partition("=")[0].lower() for line in lines}
    assert named - {"inngest_cli"} == set(Settings.model_fields), "inngest_cli is for scripts/run.sh"
    defaults = read()
    (tmp_path / ".env").write_text(example.read_text())
    assert read() == defaults
