"""Telling people and admins things: the one way for all parts, in the transaction of what is told.

    await notify(connection, user_id=1001, key="refund.told", n=50, dedupe=f"refund:{charge_id}")

What is committed reaches the person, in the language they speak by then, as soon as Telegram takes it. Who blocked
the bot is skipped; quiet hours make it silent. The sending is an errand on either plan (errands/notification.py).
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.core.errors import Failure
from services.jobs.enqueue import enqueue
from services.jobs.internal_jobs import InternalJobSpec
from services.notifications.notices import (
    BULK,
    GENERIC,
    SUCCESS,
    TRAINING_ERROR,
    LocalizedButton,
    LocalizedLine,
    Notice,
)
from storage.jobs.jobs import Job
from storage.messaging.notifications import existing_user_ids, record_notification
from storage.pool import Executor
from storage.users.users import User, get_user

_NO_PARAMS: Final[Mapping[str, str | int]] = {}


async def notify(
    db: Executor,
    *,
    user_id: int,
    key: str,
    n: int | None = None,
    params: Mapping[str, str | int] = _NO_PARAMS,
    extra_lines: Sequence[LocalizedLine] = (),
    buttons: Sequence[LocalizedButton] = (),
    with_menu_button: bool = True,
    dedup_key: str = "",
    is_success: bool = False,
) -> bool:
    """Tell one person the text `key`, then the lines of `more`. Needs a transaction around it.

    The same `dedupe` is told once. False where it was noted before, or nobody has this id. `success` tells good
    news about what the person ordered or paid; it has an event of its own.
    """
    notice = Notice(
        lines=(LocalizedLine.of(key, n, **params), *extra_lines), buttons=tuple(buttons), menu=with_menu_button
    )
    inputs = {"notice": notice.model_dump(mode="json")}
    return await _enqueue(db, SUCCESS if is_success else GENERIC, user_id, dedup_key, inputs)


async def notify_many(
    db: Executor,
    *,
    user_ids: Sequence[int],
    key: str,
    n: int | None = None,
    params: Mapping[str, str | int] = _NO_PARAMS,
    buttons: Sequence[LocalizedButton] = (),
    dedup_key: str = "",
    is_news: bool = True,
) -> int:
    """Tell many people; gives how many of them the bot knows. Needs a transaction around it.

    `news` is what people can switch off in /settings. Those whom an admin blocked are not told.
    """
    known = await existing_user_ids(db, user_ids)
    if not known:
        return 0
    notice = Notice(lines=(LocalizedLine.of(key, n, **params),), buttons=tuple(buttons))
    noted = dedup_key or secrets.token_hex(12)
    first = await _get_known_user(db, known[0])
    inputs = {"notice": notice.model_dump(mode="json"), "user_ids": known, "news": is_news, "key": noted}
    job = await enqueue(
        db, BULK, noted, inputs, user_id=first.id, bot_name=first.bot_name, language=first.language
    )
    return len(known) if job is not None else 0


async def notify_training_failed(db: Executor, job: Job, failure: Failure) -> bool:
    """Tell the person that, and why, their training failed; once. Needs a transaction around it."""
    inputs = {"job": str(job.id), "failure": failure.to_json()}
    return await _enqueue(db, TRAINING_ERROR, job.user_id, f"training-error:{job.id}", inputs)


async def _enqueue(
    db: Executor, spec: InternalJobSpec, user_id: int, dedup_key: str, inputs: dict[str, Any]
) -> bool:
    key = dedup_key or secrets.token_hex(12)
    if not await record_notification(db, key, user_id):
        return False
    user = await _get_known_user(db, user_id)
    inputs["key"] = key
    await enqueue(db, spec, key, inputs, user_id=user_id, bot_name=user.bot_name, language=user.language)
    return True


async def _get_known_user(db: Executor, user_id: int) -> User:
    user = await get_user(db, user_id)
    assert user is not None  # noqa: S101 - noted only for those who are known, and users are never deleted
    return user
