"""All settings, from the environment and .env. The process does not start with an invalid one."""

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode

from inngest_functions.settings import InngestSettings, normalize_url

_TOKEN = re.compile(r"^\d+:[\w-]{10,}$")
SANDBOX_USER_ID = 1001
SANDBOX_TOKEN = "1000000001:sandbox-token"  # noqa: S105 - valid only for the sandbox on this machine


class SettingsError(Exception):
    """A setting is missing or invalid. The message is one line that names it and says why."""


class Settings(InngestSettings):
    """All settings, from the environment and .env. `scripts/generate_docs.py` copies each docstring to the docs."""

    host: str = ""
    """Address to listen on. Empty: `127.0.0.1` with the sandbox, otherwise `0.0.0.0`."""
    port: Annotated[int, Field(ge=1, le=65535)] = 3001
    """Port to listen on."""
    public_url: str = ""
    """URL at which Telegram, Replicate and Inngest reach this process: `https://bot.example.com`. Empty: Telegram
    and Replicate are polled, and Inngest calls `127.0.0.1`."""
    data_dir: Path = Path(".data")
    """Where development keeps its database, sandbox state and offline results."""
    metrics_token: SecretStr = SecretStr("")
    """Bearer token that `/metrics` requires. Empty: open in development, closed in production."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is logged."""
    log_format: Literal["text", "json"] = "text"
    """`text` to read on a terminal, or `json`: one object per line."""

    bot_token: SecretStr = SecretStr("")
    """Token from @BotFather, for a bot named `main`. If this and `BOTS` are empty, the sandbox in this process
    replaces Telegram."""
    bots: Annotated[dict[str, SecretStr], NoDecode] = Field(default_factory=dict)
    """More bots in one process: `name:token,name:token`."""
    admin_ids: Annotated[frozenset[int], NoDecode] = frozenset()
    """Telegram user ids of the admins: `123,456`. Empty in the sandbox: the first user of the chat page."""
    telegram_mode: Literal["polling", "webhook"] = "polling"
    """How updates arrive. `webhook` needs `PUBLIC_URL`."""
    telegram_api_url: str = ""
    """URL of another Bot API server: `http://127.0.0.1:8081`. Empty: Telegram's own."""
    telegram_webhook_secret: SecretStr = SecretStr("")
    """Secret that Telegram sends with each update: up to 256 letters, digits, `_` or `-`. Empty: derived from the
    tokens."""

    database_url: SecretStr = SecretStr("")
    """`postgresql://user:password@host/name`. Empty: an embedded PostgreSQL in `DATA_DIR`."""
    database_pool_size: Annotated[int, Field(ge=3, le=200)] = 15
    """Maximum number of database connections of this process."""

    replicate_api_token: SecretStr = SecretStr("")
    """For images, videos, lip-sync and training. Empty: an offline provider. Required in production."""
    replicate_base_url: str = ""
    """URL of another Replicate API. Empty: Replicate's own."""
    openai_api_key: SecretStr = SecretStr("")
    """For moderation, dictated prompts, prompt improvement, image descriptions and a second set of voices. Empty:
    offline providers, and a word list instead of moderation. Required in production."""
    openai_base_url: str = ""
    """URL of another OpenAI API, ending in `/v1`. Empty: OpenAI's own."""
    elevenlabs_api_key: SecretStr = SecretStr("")
    """For speech and voice cloning. Empty: offline voices. Required in production."""
    elevenlabs_base_url: str = ""
    """URL of another ElevenLabs API. Empty: ElevenLabs' own."""
    offline_seconds: Annotated[float, Field(ge=0)] = 3.0
    """Seconds an offline provider takes to produce a result."""

    plan_a_start_timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds Inngest has to start an accepted job before Plan B takes it."""
    job_lease_seconds: Annotated[float, Field(ge=0.5)] = 15.0
    """Seconds before a job may be taken over from a worker that stopped renewing its lease."""
    plan_b_slots: Annotated[int, Field(ge=1)] = 8
    """Maximum number of jobs this process runs at once on Plan B."""
    jobs_per_person: Annotated[int, Field(ge=1)] = 2
    """Running orders a user may have before Plan B makes their next one wait."""
    welcome_credits: Annotated[int | None, Field(ge=0)] = None
    """Credits a new user starts with. Empty: 25, or 1000 in the sandbox."""
    support_contact: str = ""
    """Contact shown by `/help`, `/support` and `/paysupport`: `@name`. Required in production."""
    leela_dice_seconds: Annotated[float, Field(ge=0, le=10)] = 3.0
    """Seconds the die rolls in the game before its move is shown."""
    alert_webhook_url: SecretStr = SecretStr("")
    """Receives a POST when an incident opens and another when it closes. May contain a secret: it is never logged."""
    alert_quiet_hours: str = ""
    """Hours of the day, in UTC, when new alerts are silent: `23-7`. Alerts about money are never silent."""

    @field_validator("bots", mode="before")
    @classmethod
    def _split_bots(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
        return {name: token for name, _, token in pairs}

    @field_validator("admin_ids", mode="before")
    @classmethod
    def _split_admins(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("public_url", "telegram_api_url")
    @classmethod
    def _validate_url(cls, value: str) -> str:
        return normalize_url(value)

    @field_validator("alert_webhook_url")
    @classmethod
    def _validate_secret_url(cls, value: SecretStr) -> SecretStr:
        normalize_url(value.get_secret_value())
        return value

    @field_validator("alert_quiet_hours")
    @classmethod
    def _validate_hours(cls, value: str) -> str:
        if value and not re.match(r"^([01]?\d|2[0-3])-([01]?\d|2[0-3])$", value):
            raise ValueError("must be two hours of the day in UTC, such as 23-7")
        return value

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _validate_secret(cls, value: SecretStr) -> SecretStr:
        # https://core.telegram.org/bots/api#setwebhook
        if not re.match(r"^[A-Za-z0-9_-]{0,256}$", value.get_secret_value()):
            raise ValueError("must be at most 256 letters, digits, _ and -")
        return value

    @model_validator(mode="after")
    def _validate_combination(self) -> Self:
        for name, token in self.tokens.items():
            if not _TOKEN.match(token):
                raise ValueError(
                    f"{'BOT_TOKEN' if self.bot_token.get_secret_value() else 'BOTS'}: "
                    f"the token of {name} must look like 123456789:AA…"
                )
        if self.telegram_mode == "webhook" and not self.public_url:
            raise ValueError("PUBLIC_URL: required with TELEGRAM_MODE=webhook")
        if self.production:
            self._validate_production()
        return self

    def _validate_production(self) -> None:
        if self.sandbox:
            raise ValueError("BOT_TOKEN: required in production, where the sandbox is not allowed")
        if not self.database_url.get_secret_value():
            raise ValueError("DATABASE_URL: required in production, where the embedded database is not allowed")
        for name in ("inngest_event_key", "inngest_signing_key"):
            if not getattr(self, name).get_secret_value():
                raise ValueError(f"{name.upper()}: required in production, where Inngest must sign its requests")
        for name in ("replicate_api_token", "openai_api_key", "elevenlabs_api_key"):
            if not getattr(self, name).get_secret_value():
                raise ValueError(
                    f"{name.upper()}: required in production, where offline providers are not allowed"
                )
        if not self.support_contact:
            raise ValueError("SUPPORT_CONTACT: required in production, because /paysupport must name a contact")
        if self.telegram_mode == "webhook" and not self.public_url.startswith("https://"):
            raise ValueError("PUBLIC_URL: must start with https:// for Telegram's webhook")

    @cached_property
    def tokens(self) -> dict[str, str]:
        """Bot tokens by bot name; the sandbox's token if none is configured."""
        tokens = {name: token.get_secret_value() for name, token in self.bots.items()}
        if single := self.bot_token.get_secret_value():
            tokens = {"main": single, **tokens}
        return tokens or {"main": SANDBOX_TOKEN}

    @property
    def sandbox(self) -> bool:
        """Whether the sandbox in this process replaces Telegram."""
        return not self.bot_token.get_secret_value() and not self.bots

    @property
    def telegram_url(self) -> str:
        """The Bot API's base URL; empty for Telegram's own."""
        return f"{self.local_url}/sandbox" if self.sandbox else self.telegram_api_url

    @property
    def local_url(self) -> str:
        """The base URL of this process on its own machine."""
        host = "127.0.0.1" if self.bind_host == "0.0.0.0" else self.bind_host  # noqa: S104
        return f"http://{host}:{self.port}"

    @property
    def bind_host(self) -> str:
        """The address to listen on. Default: all addresses, or with the sandbox only loopback."""
        return self.host or ("127.0.0.1" if self.sandbox else "0.0.0.0")  # noqa: S104

    @property
    def admins(self) -> frozenset[int]:
        """Telegram user ids of the admins. Default in the sandbox: the first user of the chat page."""
        return self.admin_ids or (frozenset({SANDBOX_USER_ID}) if self.sandbox else frozenset())

    @property
    def quiet_hours(self) -> tuple[int, int]:
        """The hours of the day, in UTC, at which silent alerts begin and end. Equal if alerts are never silent."""
        begin, _, end = self.alert_quiet_hours.partition("-")
        return int(begin or 0), int(end or 0)

    @property
    def credits_at_start(self) -> int:
        """Credits that a new user gets. In the sandbox, the default is enough to try everything."""
        if self.welcome_credits is not None:
            return self.welcome_credits
        return 1000 if self.sandbox else 25


def read_settings() -> Settings:
    """Read the settings of this process.

    Raises:
        SettingsError: A setting is missing or invalid.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {message}" if name else message) from None
