"""Payment follow-ups: thanks, the inviter's bonus and a notification of the admins, after the payment is credited."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from services.billing.referrals import reward_inviter
from services.durable.step_names import NOTIFY
from services.jobs.internal_jobs import InternalJobContext, InternalJobSpec
from services.messaging.buttons import keyboard, menu_button
from services.messaging.messenger import Messenger
from services.notifications.admins import AdminNotifier
from storage.jobs.jobs import Job
from storage.money.ledger import get_balance
from storage.money.payments import get_payment
from storage.pool import Pool

PAYMENT_FOLLOW_UP: Final = InternalJobSpec(
    id="payment", event="payment/process.start", function_id="process-payment", concurrency=10
)
"""Inputs: `charge` (Telegram's id of the payment), `stars` (paid) and `credits` (received)."""
INTERNAL_JOBS: Final = (PAYMENT_FOLLOW_UP,)


@dataclass(frozen=True)
class PaymentFollowUp:
    """Runs payment follow-ups, which are internal jobs.

    Attributes:
        db: The database.
        messenger: Sends the messages to the user and to the inviter.
        admins: Notifies the admins.
    """

    db: Pool
    messenger: Messenger
    admins: AdminNotifier

    async def run(self, context: InternalJobContext) -> dict[str, Any]:
        """Follow up on one payment (`PAYMENT_FOLLOW_UP`).

        Returns:
            The job's result, `{"rewarded": …}`, with the inviter and their bonus, or None.

        Raises:
            Failure: Telegram refused a message.
        """
        job, steps = context.job, context.steps
        await steps.run("thanks", partial(self._thank_user, job), retry_outages=True)
        reward = await steps.run("reward", partial(reward_inviter, self.db, job.user_id))
        if reward is not None:
            notify_inviter = partial(self._notify_inviter, job, reward)
            await steps.run(f"{NOTIFY}-inviter", notify_inviter, retry_outages=True)
        await steps.run("note", partial(self._notify_admins, job))
        return {"rewarded": reward}

    async def _thank_user(self, job: Job) -> None:
        t, balance = self.messenger.texts.t, await get_balance(self.db, job.user_id)
        lines = [
            t(job.language, await self._thanks_key(job), int(job.inputs["credits"])),
            t(job.language, "balance.available", balance.available),
        ]
        if balance.debt:
            lines.append(t(job.language, "balance.debt", balance.debt))
        await self._send(job.user_id, job.bot_name, job.language, "\n".join(lines))

    async def _thanks_key(self, job: Job) -> str:
        """Return the text key for a pack of credits, or for the first or a later month of a subscription."""
        if job.inputs["credits"] == job.inputs["stars"]:
            return "topup.thanks"
        payment = await get_payment(self.db, job.inputs["charge"])
        return "subscription.renewed" if payment is not None and payment.recurring else "subscription.thanks"

    async def _notify_inviter(self, job: Job, reward: dict[str, Any]) -> None:
        text = self.messenger.texts.t(reward["language"], "invite.rewarded", reward["credits"])
        await self._send(reward["inviter"], job.bot_name, reward["language"], text)

    async def _notify_admins(self, job: Job) -> None:
        await self.admins.notify(
            "payment.note",
            int(job.inputs["stars"]),
            dedup_key=f"payment.note:{job.inputs['charge']}",
            user=job.user_id,
        )

    async def _send(self, user_id: int, bot_name: str, language: str, text: str) -> None:
        """Send to a user, unless they blocked the bot. Raises Failure."""
        markup = keyboard([[menu_button(self.messenger.texts, language)]])
        await self.messenger.send_text(user_id, bot_name, text, markup)
