"""Notifies users. All parts of the bot use this, in the transaction that the notification is about.

    await notify(connection, user_id=1001, key="refund.told", n=50, dedup_key=f"refund:{charge_id}")

After the commit an internal job (notices.py) sends the message as soon as Telegram accepts it, in the user's language
at that time. Users who blocked the bot are skipped. During quiet hours the message is silent.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.core.errors import Failure
from services.jobs.internal_jobs import InternalJobSpec, enqueue
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
    """Notify one user.

    Args:
        db: A connection inside a transaction.
        user_id: The user.
        key: The text key of the first line.
        n: Selects the first line's plural form.
        params: Values for the first line's placeholders.
        extra_lines: Further lines.
        buttons: Buttons under the message, one per row.
        with_menu_button: Whether to add a button that opens the menu.
        dedup_key: A key for which the user is notified only once; empty to notify every time.
        is_success: Whether this is good news about an order or a payment, which has its own Inngest event.

    Returns:
        False if the key was used before or there is no such user.
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
    """Notify many users. Those blocked by an admin are skipped.

    Args:
        db: A connection inside a transaction.
        user_ids: The users.
        key: The text's key.
        n: Selects the text's plural form.
        params: Values for the text's placeholders.
        buttons: Buttons under the message, one per row.
        dedup_key: A key for which the users are notified only once; empty to notify every time.
        is_news: Whether to skip users who switched off news in /settings.

    Returns:
        The number of these users who exist, or 0 if the key was used before.
    """
    known = await existing_user_ids(db, user_ids)
    if not known:
        return 0
    notice = Notice(lines=(LocalizedLine.of(key, n, **params),), buttons=tuple(buttons))
    job_key = dedup_key or secrets.token_hex(12)
    first = await _get_existing_user(db, known[0])
    inputs = {"notice": notice.model_dump(mode="json"), "user_ids": known, "news": is_news, "key": job_key}
    job = await enqueue(
        db, BULK, job_key, inputs, user_id=first.id, bot_name=first.bot_name, language=first.language
    )
    return len(known) if job is not None else 0


async def notify_training_failed(db: Executor, job: Job, failure: Failure) -> bool:
    """Notify a user, once, that their training failed and why.

    Args:
        db: A connection inside a transaction.
        job: The training's job.
        failure: The failure.

    Returns:
        False if the user was notified before.
    """
    inputs = {"job": str(job.id), "failure": failure.to_json()}
    return await _enqueue(db, TRAINING_ERROR, job.user_id, f"training-error:{job.id}", inputs)


async def _enqueue(
    db: Executor, spec: InternalJobSpec, user_id: int, dedup_key: str, inputs: dict[str, Any]
) -> bool:
    key = dedup_key or secrets.token_hex(12)
    if not await record_notification(db, key, user_id):
        return False
    user = await _get_existing_user(db, user_id)
    inputs["key"] = key
    await enqueue(db, spec, key, inputs, user_id=user_id, bot_name=user.bot_name, language=user.language)
    return True


async def _get_existing_user(db: Executor, user_id: int) -> User:
    user = await get_user(db, user_id)
    assert user is not None  # noqa: S101 - only existing users get here, and users are never deleted
    return user
