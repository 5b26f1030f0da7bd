"""An admin and users with credits: what the tests of refunds, bonuses and user cards have in common."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from storage.money.ledger import get_balance, transfer
from tests.support.environments.environment import Environment, SandboxUser, wait_until
from tests.support.environments.factory import EnvironmentFactory

ADMIN = 7


@asynccontextmanager
async def open_admin_environment(environments: EnvironmentFactory) -> AsyncIterator[Environment]:
    """An environment with one bot, whose admin has started it. New users get no credits."""
    async with environments.open(Environment) as environment:
        await environment.start_bot(ADMIN_IDS=str(ADMIN), WELCOME_CREDITS="0", ready=False)
        await environment.user(ADMIN).send_text("/start")
        yield environment


async def create_user(environment: Environment, user_id: int) -> SandboxUser:
    """A user who has started the bot and accepted the terms."""
    user = environment.user(user_id)
    await user.send_text("/start")
    await user.wait_for_button("Text to image")
    await environment.db.execute("UPDATE users SET terms_accepted_at = now() WHERE id = $1", user.id)
    return user


async def buy_pack(environment: Environment, user: SandboxUser, stars: int = 50) -> str:
    """Buy a pack of credits. Returns the id of the charge."""
    before = (await get_balance(environment.db, user.id)).available
    after = (await user.send_text("/topup"))["message"]["message_id"]
    await user.wait_for_button(f"{stars} ⭐", after=after)
    await user.tap(f"{stars} ⭐")
    await user.wait_for_button(f"Pay ⭐️{stars}", after=after)
    paid = await environment.telegram.api.post("pay", user_id=user.id)
    charge: str = paid["message"]["successful_payment"]["telegram_payment_charge_id"]

    async def credited() -> bool:
        return (await get_balance(environment.db, user.id)).available > before

    await wait_until(credited, what=f"{user.id} is credited")
    return charge


async def spend_credits(environment: Environment, user: SandboxUser, credits: int) -> None:
    key = f"test:{secrets.token_hex(4)}"
    assert await transfer(
        environment.db, key=key, kind="test", user_id=user.id, source="available", target="revenue", amount=credits
    )


async def send_as_admin(environment: Environment, text: str) -> tuple[SandboxUser, int]:
    """Send a text as the admin. Returns the admin and the id of the message."""
    admin = environment.user(ADMIN)
    return admin, (await admin.send_text(text))["message"]["message_id"]
