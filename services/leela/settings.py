"""What can be set for the game."""

from functools import cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LeelaSettings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    leela_dice_seconds: float = Field(default=3.0, ge=0, le=10)
    """How long Telegram's die rolls before its value may be told."""


@cache
def get_leela_settings() -> LeelaSettings:
    return LeelaSettings()
