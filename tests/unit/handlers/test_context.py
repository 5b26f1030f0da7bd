"""What a handler gets with each update."""

from types import SimpleNamespace
from typing import Any, cast

from handlers.context import AppContext, UserContext
from services.generation.inputs import Option, UserOptions
from services.generation.spec import ServiceSpec
from storage.money.ledger import Balance
from storage.users.users import User

USER = User(7, "main", "en", language_chosen=False, username=None, first_name="Ann", active=True)


def user_context(**parts: Any) -> UserContext:
    app = SimpleNamespace(db=None, providers=None, admins=frozenset({7}), **parts)
    return UserContext(cast("AppContext", app), USER, "main", 7, Balance(100, 0))


def spec_with_options(service: str, calls: list[str]) -> ServiceSpec:
    async def user_options(catalogue: Any) -> UserOptions:
        calls.append(service)
        return {"voice": (Option("v", "Voice"),)}

    return cast("ServiceSpec", SimpleNamespace(id=service, user_options=user_options))


async def test_user_options_are_loaded_once_per_service_and_update() -> None:
    calls: list[str] = []
    speech, lip_sync = spec_with_options("speech", calls), spec_with_options("lip_sync", calls)
    ctx = user_context()
    first = await ctx.user_options(speech)
    assert await ctx.user_options(speech) is first
    await ctx.user_options(lip_sync)
    assert calls == ["speech", "lip_sync"]
    await user_context().user_options(speech)
    assert calls == ["speech", "lip_sync", "speech"], "the next update loads them again"


def test_is_admin_of_a_listed_user_is_true() -> None:
    assert user_context().is_admin
