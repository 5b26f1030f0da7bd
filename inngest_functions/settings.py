"""Inngest's URLs, ports and keys, from the environment and .env. The settings of the bot extend these."""

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
    """The URLs of one Inngest server.

    Attributes:
        api: The API for registrations and runs.
        events: The API for events.
        page: The web pages.
        gateway: The Connect gateway of the dev server; None for other servers, which announce their own.
    """

    api: str
    events: str
    page: str
    gateway: str | None


class InngestSettings(BaseSettings):
    """ENVIRONMENT, and the settings whose names begin with INNGEST_."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", env_ignore_empty=True, use_attribute_docstrings=True
    )

    environment: Literal["development", "production"] = "development"
    """`production` refuses the sandbox, the embedded database, offline providers and unsigned Inngest requests."""
    inngest_transport: Literal["serve", "connect"] = "serve"
    """`serve`: Inngest calls this process at `/api/inngest`. `connect`: this process opens a WebSocket to Inngest
    and needs no public URL."""
    inngest_dev_port: Annotated[int, Field(ge=1, le=65535)] = 9288
    """Port of the dev server on this machine."""
    inngest_connect_port: Annotated[int, Field(ge=1, le=65535)] = 9289
    """Port of the dev server's Connect gateway."""
    inngest_base_url: str = ""
    """URL of a self-hosted Inngest server. Empty: the dev server; in production, Inngest Cloud."""
    inngest_event_key: SecretStr = SecretStr("")
    """Required in production."""
    inngest_signing_key: SecretStr = SecretStr("")
    """Required in production."""
    inngest_signing_key_fallback: SecretStr = SecretStr("")
    """The previous signing key, accepted while the key is being rotated."""
    inngest_send_deadline: Annotated[float, Field(gt=0, le=5)] = 0.8
    """Seconds Inngest has to accept an order's event before the order goes to Plan B."""
    inngest_ping_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    """Seconds Inngest has to run a ping before it counts as unavailable. A ping is sent when an accepted job does
    not start."""

    @field_validator("inngest_base_url")
    @classmethod
    def _validate_base_url(cls, value: str) -> str:
        return normalize_url(value)

    @property
    def production(self) -> bool:
        """Whether this is production, where requests must be signed."""
        return self.environment == "production"

    @property
    def inngest_url(self) -> str | None:
        """The base URL of Inngest; None for Inngest Cloud."""
        if self.inngest_base_url:
            return self.inngest_base_url
        return None if self.production else f"http://127.0.0.1:{self.inngest_dev_port}"


def normalize_url(value: str) -> str:
    """Remove a trailing slash from a URL. An empty string stays empty.

    Raises:
        ValueError: The value is not an http or https URL.
    """
    if value and not re.match(r"^https?://[^/\s]+", value):
        raise ValueError("must start with http:// or https://")
    return value.rstrip("/")


def get_inngest_urls(settings: InngestSettings | None = None) -> InngestUrls:
    """The URLs of the configured Inngest: the dev server, a self-hosted server or Inngest Cloud.

    They are arguments of the SDK's client: https://www.inngest.com/docs/reference/python/client/overview

    Args:
        settings: Inngest's settings; read from the environment by default.
    """
    settings = settings or InngestSettings()
    if (url := settings.inngest_url) is None:
        return InngestUrls(_CLOUD_API, _CLOUD_EVENTS, _CLOUD_PAGE, None)
    gateway = None if settings.inngest_base_url else f"ws://127.0.0.1:{settings.inngest_connect_port}"
    return InngestUrls(url, url, url, gateway)


def export_fallback_key(settings: InngestSettings) -> None:
    """Put the fallback signing key into os.environ, the only place where SDK 0.5.19 reads it (client_lib/client.py)."""
    if key := settings.inngest_signing_key_fallback.get_secret_value():
        os.environ["INNGEST_SIGNING_KEY_FALLBACK"] = key
