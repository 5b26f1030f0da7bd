"""What the last day was like, told to the admins every morning."""

from datetime import datetime, timedelta

from services.messaging.app_context import AppContext
from services.notifications.admins import notify_admins
from storage.reports.stats import get_period_stats


async def send_daily_summary(studio: AppContext, scheduled_for: datetime) -> None:
    """Tell the admins about the 24 hours before `slot`."""
    period = await get_period_stats(studio.db, scheduled_for - timedelta(days=1), scheduled_for)
    await notify_admins(
        studio,
        "summary.day",
        dedup_key=f"summary:{scheduled_for.isoformat()}",
        day=(scheduled_for - timedelta(days=1)).date().isoformat(),
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
