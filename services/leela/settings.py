"""Settings of the game of Leela."""

from functools import cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LeelaSettings(BaseSettings):
    """Settings of the game, from the environment or `.env`.

    Attributes:
        leela_dice_seconds: Seconds from the throw of Telegram's die to the message with the move: the die has
            stopped rolling on the player's screen by then.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    leela_dice_seconds: float = Field(default=3.0, ge=0, le=10)


@cache
def get_leela_settings() -> LeelaSettings:
    """The settings, read once."""
    return LeelaSettings()
