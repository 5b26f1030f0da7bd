"""Hello world: the smallest piece of work there is, to see a plan at work. Nothing is ordered and nothing paid."""

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
    """The data of `demo/hello.world`. A language we do not have is answered in English."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = "World"
    language: str = DEFAULT_LANGUAGE
    timestamp: str = Field(default_factory=lambda: datetime.now(UTC).isoformat())

    @field_validator("name", "language", mode="before")
    @classmethod
    def _default(cls, value: object, info: ValidationInfo) -> str:
        """Whoever sends null, nothing or a number is greeted all the same."""
        defaults = {"name": "World", "language": DEFAULT_LANGUAGE}
        return defaults[str(info.field_name)] if value is None or value == "" else str(value)


class HelloEnvironment(BaseModel):
    """Names are those of the documented result."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    node_env: str = Field("development", serialization_alias="nodeEnv", validation_alias="nodeEnv")
    inngest_port: int = Field(9288, serialization_alias="inngestPort", validation_alias="inngestPort")


class HelloResult(BaseModel):
    """What a run of `hello-world` gives."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    message: str
    processed_at: str = Field(serialization_alias="processedAt", validation_alias="processedAt")
    """ISO 8601, in UTC."""
    event_data: dict[str, object] = Field(serialization_alias="eventData", validation_alias="eventData")
    environment: HelloEnvironment


def greeting(hello: Hello) -> str:
    return GREETINGS.get(hello.language, GREETINGS[DEFAULT_LANGUAGE]).format(name=hello.name)


def hello_result(message: str, hello: Hello, environment: HelloEnvironment) -> HelloResult:
    return HelloResult(
        message=message,
        processed_at=datetime.now(UTC).isoformat(),
        event_data=hello.model_dump(mode="json"),
        environment=environment,
    )
