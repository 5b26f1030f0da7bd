"""Hello world: a minimal function to try out a plan. It is not an order and costs nothing."""

from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

GREETINGS: Final = {
    "en": "Hello, {name}! 👋",
    "ru": "Привет, {name}! 🕉️",
    "es": "¡Hola, {name}! 🌟",
    "fr": "Bonjour, {name}! ✨",
}
DEFAULT_LANGUAGE: Final = "en"


class Hello(BaseModel):
    """The data of the event `demo/hello.world`. The greeting is in English if we do not have the language."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = "World"
    language: str = DEFAULT_LANGUAGE
    timestamp: str = Field(default_factory=lambda: datetime.now(UTC).isoformat())

    @field_validator("name", "language", mode="before")
    @classmethod
    def _default(cls, value: object, info: ValidationInfo) -> str:
        """Accept null and an empty string as the default, and a number as text."""
        defaults = {"name": "World", "language": DEFAULT_LANGUAGE}
        return defaults[str(info.field_name)] if value is None or value == "" else str(value)


class HelloEnvironment(BaseModel):
    """The part of the result about the process. The aliases are the documented names."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    node_env: str = Field("development", serialization_alias="nodeEnv", validation_alias="nodeEnv")
    inngest_port: int = Field(9288, serialization_alias="inngestPort", validation_alias="inngestPort")


class HelloResult(BaseModel):
    """The result of a `hello-world` run."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    message: str
    processed_at: str = Field(serialization_alias="processedAt", validation_alias="processedAt")
    """ISO 8601, in UTC."""
    event_data: dict[str, object] = Field(serialization_alias="eventData", validation_alias="eventData")
    environment: HelloEnvironment


def greeting(hello: Hello) -> str:
    """Return the greeting in the event's language, or in English if we do not have it."""
    return GREETINGS.get(hello.language, GREETINGS[DEFAULT_LANGUAGE]).format(name=hello.name)


def hello_result(message: str, hello: Hello, environment: HelloEnvironment) -> HelloResult:
    """Build the result of a run that ends now."""
    return HelloResult(
        message=message,
        processed_at=datetime.now(UTC).isoformat(),
        event_data=hello.model_dump(mode="json"),
        environment=environment,
    )
