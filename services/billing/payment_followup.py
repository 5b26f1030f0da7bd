"""What follows a payment: thanks, the inviter's bonus, a note to the admins. Crediting waits for none of it."""

from typing import Any

from aiogram.exceptions import TelegramAPIError

from services.billing.referrals import reward_inviter
from services.jobs.internal_jobs import InternalJobContext, InternalJobSpec
from services.messaging.buttons import keyboard, menu_button
from services.messaging.telegram_errors import is_user_unreachable, to_delivery_failure
from services.notifications.admins import notify_admins
from storage.money.ledger import get_balance
from storage.money.payments import get_payment


async def run(context: InternalJobContext) -> dict[str, Any]:
    studio, job, steps = context.studio, context.job, context.steps
    stars, credited = int(job.inputs["stars"]), int(job.inputs["credits"])

    async def thank_user() -> None:
        t, balance = studio.texts.t, await get_balance(studio.db, job.user_id)
        key = "topup.thanks" if credited == stars else await _subscription_thanks_key(context)
        lines = [t(job.language, key, credited), t(job.language, "balance.available", balance.available)]
        if balance.debt:
            lines.append(t(job.language, "balance.debt", balance.debt))
        await _send(context, job.user_id, "\n".join(lines))

    async def reward() -> dict[str, Any] | None:
        return await reward_inviter(studio, job.user_id)

    async def notify_inviter() -> None:
        assert referral_reward is not None  # noqa: S101 - only then is this step taken
        text = studio.texts.t(referral_reward["language"], "invite.rewarded", referral_reward["credits"])
        await _send(context, referral_reward["inviter"], text, referral_reward["language"])

    async def note() -> None:
        notify_admins_of_payment = f"payment.note:{job.inputs['charge']}"
        await notify_admins(studio, "payment.note", stars, dedup_key=notify_admins_of_payment, user=job.user_id)

    await steps.run("thanks", thank_user, retry_outages=True)
    referral_reward = await steps.run("reward", reward)
    if referral_reward is not None:
        await steps.run("notify-inviter", notify_inviter, retry_outages=True)
    await steps.run("note", note)
    return {"rewarded": referral_reward}


async def _subscription_thanks_key(context: InternalJobContext) -> str:
    """The key of the thanks: a subscription has begun, or goes on for another month."""
    payment = await get_payment(context.studio.db, context.job.inputs["charge"])
    return "subscription.renewed" if payment is not None and payment.recurring else "subscription.thanks"


async def _send(context: InternalJobContext, user_id: int, text: str, language: str = "") -> None:
    """Somebody who blocked the bot is not told; everybody else is, however long Telegram is away."""
    studio, job = context.studio, context.job
    markup = keyboard([[menu_button(studio.texts, language or job.language)]])
    try:
        await studio.bot_or_default(job.bot_name).send_message(user_id, text, reply_markup=markup)
    except TelegramAPIError as error:
        if not is_user_unreachable(error):
            raise to_delivery_failure(error) from error


PAYMENT = InternalJobSpec(
    id="payment", event="payment/process.start", function_id="process-payment", run=run, concurrency=10
)
INTERNAL_JOBS = (PAYMENT,)
