"""The broadcast that runs, or the last one, as the dashboard shows it."""

from typing import Any

from services.broadcast.progress import BroadcastProgress


def broadcast_section(progress: BroadcastProgress | None) -> dict[str, Any]:
    """Empty where there was never one. Times are seconds since 1970."""
    if progress is None:
        return {}
    broadcast, counts = progress.broadcast, progress.counts
    sends = broadcast.task == "send"
    ended = broadcast.ended_at
    return {
        "task": broadcast.task,
        "state": broadcast.state,
        "paid": broadcast.paid,
        "total": counts.total if sends else counts.edits_waiting + counts.edits_done + counts.edits_refused,
        "done": counts.sent if sends else counts.edits_done,
        "left": progress.remaining,
        "failed": counts.failed if sends else counts.edits_refused,
        "blocked": counts.blocked,
        "unknown": counts.unknown,
        "rate": round(counts.rate, 1) if broadcast.state == "running" else None,
        "seconds_left": progress.seconds_left,
        "ended": ended.timestamp() if ended else None,
    }
