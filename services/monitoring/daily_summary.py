"""What the last day was like, told to the admins every morning."""

from datetime import datetime, timedelta

from services.messaging.app_context import Studio
from services.notifications.admins import tell_admins
from storage.reports.stats import count_period


async def send_summary(studio: Studio, slot: datetime) -> None:
    """Tell the admins about the 24 hours before `slot`."""
    period = await count_period(studio.db, slot - timedelta(days=1), slot)
    await tell_admins(
        studio,
        "summary.day",
        dedupe=f"summary:{slot.isoformat()}",
        day=(slot - timedelta(days=1)).date().isoformat(),
        new=period.new_users,
        active=period.active_users,
        orders=period.orders,
        succeeded=period.succeeded,
        failed=period.failed,
        cancelled=period.cancelled,
        plan_a=period.on_plan_a,
        plan_b=period.on_plan_b,
        spent=period.spent,
        paid=period.paid,
    )
