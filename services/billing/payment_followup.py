"""What follows a payment: thanks, the inviter's bonus, a note to the admins. Crediting waits for none of it."""

from typing import Any

from aiogram.exceptions import TelegramAPIError

from services.billing.referrals import reward_inviter
from services.jobs.internal_jobs import Errand, ErrandSpec
from services.messaging.buttons import keyboard, menu_button
from services.messaging.telegram_errors import delivery_failure, person_is_gone
from services.notifications.admins import tell_admins
from storage.money.ledger import get_balance
from storage.money.payments import get_charge


async def run(errand: Errand) -> dict[str, Any]:
    studio, job, steps = errand.studio, errand.job, errand.steps
    stars, credited = int(job.inputs["stars"]), int(job.inputs["credits"])

    async def thank() -> None:
        t, balance = studio.texts.t, await get_balance(studio.db, job.user_id)
        key = "topup.thanks" if credited == stars else await _subscription_thanks(errand)
        lines = [t(job.language, key, credited), t(job.language, "balance.available", balance.available)]
        if balance.debt:
            lines.append(t(job.language, "balance.debt", balance.debt))
        await _send(errand, job.user_id, "\n".join(lines))

    async def reward() -> dict[str, Any] | None:
        return await reward_inviter(studio, job.user_id)

    async def tell_inviter() -> None:
        assert rewarded is not None  # noqa: S101 - only then is this step taken
        text = studio.texts.t(rewarded["language"], "invite.rewarded", rewarded["credits"])
        await _send(errand, rewarded["inviter"], text, rewarded["language"])

    async def note() -> None:
        note = f"payment.note:{job.inputs['charge']}"
        await tell_admins(studio, "payment.note", stars, dedupe=note, user=job.user_id)

    await steps.run("thanks", thank, patient=True)
    rewarded = await steps.run("reward", reward)
    if rewarded is not None:
        await steps.run("tell-inviter", tell_inviter, patient=True)
    await steps.run("note", note)
    return {"rewarded": rewarded}


async def _subscription_thanks(errand: Errand) -> str:
    """The key of the thanks: a subscription has begun, or goes on for another month."""
    charge = await get_charge(errand.studio.db, errand.job.inputs["charge"])
    return "subscription.renewed" if charge is not None and charge.recurring else "subscription.thanks"


async def _send(errand: Errand, user_id: int, text: str, language: str = "") -> None:
    """Somebody who blocked the bot is not told; everybody else is, however long Telegram is away."""
    studio, job = errand.studio, errand.job
    markup = keyboard([[menu_button(studio.texts, language or job.language)]])
    try:
        await studio.bot(job.bot_name).send_message(user_id, text, reply_markup=markup)
    except TelegramAPIError as error:
        if not person_is_gone(error):
            raise delivery_failure(error) from error


PAYMENT = ErrandSpec(
    id="payment", event="payment/process.start", function_id="process-payment", run=run, concurrency=10
)
ERRANDS = (PAYMENT,)
