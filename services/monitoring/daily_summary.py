"""What the last day was like, told to the admins every morning."""

from datetime import datetime, timedelta

from services.messaging.app_context import AppContext
from services.notifications.admins import notify_admins
from storage.reports.revenue import count_totals


async def send_daily_summary(studio: AppContext, scheduled_for: datetime) -> None:
    """Tell the admins about the 24 hours before `slot`."""
    totals = await count_totals(studio.db, scheduled_for - timedelta(days=1), scheduled_for)
    await notify_admins(
        studio,
        "summary.day",
        dedup_key=f"summary:{scheduled_for.isoformat()}",
        day=(scheduled_for - timedelta(days=1)).date().isoformat(),
        new=totals.new_users,
        active=totals.active_users,
        orders=totals.orders,
        succeeded=totals.succeeded,
        failed=totals.failed,
        cancelled=totals.cancelled,
        plan_a=totals.on_plan_a,
        plan_b=totals.on_plan_b,
        spent=totals.earned,
        paid=totals.paid - totals.refunded,
    )
