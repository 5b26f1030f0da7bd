"""Notifying users: the one way for all parts of the bot, inside the transaction that the notification is about.

    await notify(connection, user_id=1001, key="refund.told", n=50, dedup_key=f"refund:{charge_id}")

Once that is committed, the user gets the text as soon as Telegram accepts it, in the language they use by then. Users
who blocked the bot are skipped; quiet hours make the message silent. Sending is an internal job (notices.py).
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
        db: A connection with a transaction around it.
        user_id: The user.
        key: The key of the first line.
        n: Chooses the first line's plural form.
        params: What the first line's placeholders are filled in with.
        extra_lines: The lines below it.
        buttons: Buttons under the message, one a row.
        with_menu_button: Whether the button that opens the menu comes last.
        dedup_key: The same key is sent only once; an empty one is always sent.
        is_success: Good news about an order or a payment. It has an Inngest event of its own.

    Returns:
        False where the key was used before, or there is no such user.
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
        db: A connection with a transaction around it.
        user_ids: The users.
        key: The text's key.
        n: Chooses the text's plural form.
        params: What the text's placeholders are filled in with.
        buttons: Buttons under the message, one a row.
        dedup_key: The same key is sent only once; an empty one is always sent.
        is_news: Whether users who switched news off in /settings are skipped.

    Returns:
        The number of these users who exist; 0 where the key was used before.
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
    """Notify a user, once, that their model training failed and why.

    Args:
        db: A connection with a transaction around it.
        job: The training's job.
        failure: Why it failed.

    Returns:
        False where this was done before.
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
