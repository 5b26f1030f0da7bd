"""Where Inngest is and how we speak with it, from the environment and .env. The bot's settings extend these."""

import os
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SERVE_PATH = "/api/inngest"
_CLOUD_API = "https://api.inngest.com"
_CLOUD_EVENTS = "https://inn.gs"
_CLOUD_PAGE = "https://app.inngest.com"


@dataclass(frozen=True)
class InngestUrls:
    """`api` takes registrations and answers about runs, `events` takes events, `page` is for people, and
    `gateway` is the dev server's Connect gateway (None elsewhere: a server names its own)."""

    api: str
    events: str
    page: str
    gateway: str | None


class InngestSettings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    environment: Literal["development", "production"] = "development"
    inngest_transport: Literal["serve", "connect"] = "serve"
    inngest_dev_port: Annotated[int, Field(ge=1, le=65535)] = 9288
    inngest_connect_port: Annotated[int, Field(ge=1, le=65535)] = 9289
    inngest_base_url: str = ""
    inngest_event_key: SecretStr = SecretStr("")
    inngest_signing_key: SecretStr = SecretStr("")
    inngest_signing_key_fallback: SecretStr = SecretStr("")
    inngest_send_deadline: Annotated[float, Field(gt=0, le=5)] = 0.8
    inngest_ping_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0

    @field_validator("inngest_base_url")
    @classmethod
    def _validate_base_url(cls, value: str) -> str:
        return normalize_url(value)

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def inngest_url(self) -> str | None:
        """Where Inngest is; None for its cloud."""
        if self.inngest_base_url:
            return self.inngest_base_url
        return None if self.production else f"http://127.0.0.1:{self.inngest_dev_port}"


def normalize_url(value: str) -> str:
    """The URL without a slash at its end. Raises ValueError."""
    if value and not re.match(r"^https?://[^/\s]+", value):
        raise ValueError("must begin with http:// or https://")
    return value.rstrip("/")


def get_inngest_urls(settings: InngestSettings | None = None) -> InngestUrls:
    """Every address of the Inngest in use: the dev server's, a self-hosted one's or the cloud's.

    https://www.inngest.com/docs/reference/python/client/overview
    """
    settings = settings or InngestSettings()
    if (url := settings.inngest_url) is None:
        return InngestUrls(_CLOUD_API, _CLOUD_EVENTS, _CLOUD_PAGE, None)
    gateway = None if settings.inngest_base_url else f"ws://127.0.0.1:{settings.inngest_connect_port}"
    return InngestUrls(url, url, url, gateway)


def export_fallback_key(settings: InngestSettings) -> None:
    """The SDK takes the fallback signing key from the environment alone (client_lib/client.py of 0.5.19)."""
    if key := settings.inngest_signing_key_fallback.get_secret_value():
        os.environ["INNGEST_SIGNING_KEY_FALLBACK"] = key
