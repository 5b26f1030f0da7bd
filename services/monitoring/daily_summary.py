"""The daily summary for admins."""

from datetime import datetime, timedelta

from services.notifications.admins import AdminNotifier
from storage.pool import Pool
from storage.reports.revenue import count_totals


async def send_daily_summary(db: Pool, admins: AdminNotifier, scheduled_for: datetime) -> None:
    """Send the admins the figures of the 24 hours before `scheduled_for`, once per due time.

    Args:
        db: The database.
        admins: Sends the message.
        scheduled_for: The time for which this scheduled task was due, in UTC.
    """
    begin = scheduled_for - timedelta(days=1)
    totals = await count_totals(db, begin, scheduled_for)
    await admins.notify(
        "summary.day",
        dedup_key=f"summary:{scheduled_for.isoformat()}",
        day=begin.date().isoformat(),
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
