"""Updates that a bot has not confirmed: the queue behind ``getUpdates`` and the webhook."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.telegram.condition import Condition
from sandbox.telegram.errors import CONFLICT_OTHER_POLL, ApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.store import Store

_MAX_HISTORY = 10_000
_OPT_IN_UPDATE_KINDS = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
_CONFLICT_WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)


@dataclass(slots=True)
class PendingUpdate:
    """An update that the bot has not confirmed.

    Attributes:
        update: Telegram's ``Update``; several entries may have the same ``update_id``.
        lane: The chat or user whose updates are delivered one after the other.
        forced: Deliver it once, whatever offset the bot asks for: it was injected or repeated.
        seq: Its place in the queue.
    """

    update: Json
    lane: int
    forced: bool = False
    seq: int = 0


class UpdateQueue:
    """One bot's updates, in order.

    Attributes:
        bot: The bot.
        on_put: Called with each new update; set by the webhook delivery.
    """

    def __init__(self, bot: BotAccount, store: Store) -> None:
        """Create an empty queue that writes its updates to ``store``."""
        self.bot = bot
        self._store = store
        self._pending: dict[int, PendingUpdate] = {}
        self._seq = 0
        self._history: dict[int, PendingUpdate] = {}
        self._condition = Condition()
        self._poll_number = 0
        self._conflict_description = ""
        self.on_put: Callable[[PendingUpdate], None] | None = None

    def restore(self, seq: int, pending: PendingUpdate) -> None:
        """Put a stored update back into its place in the queue."""
        self._seq = pending.seq = seq
        self._pending[seq] = pending

    def put(self, kind: str, payload: Json, lane: int) -> int:
        """Queue a new update, unless the bot does not want its kind.

        Args:
            kind: The field of ``Update``, such as ``message`` or ``callback_query``.
            payload: The value of that field.
            lane: The chat whose updates are delivered one after the other.

        Returns:
            The ``update_id``.
        """
        update_id = self._new_update_id()
        allowed = self.bot.allowed_updates
        if kind in allowed if allowed else kind not in _OPT_IN_UPDATE_KINDS:
            self._enqueue(PendingUpdate({"update_id": update_id, kind: payload}, lane))
        return update_id

    def inject(self, update: Json, times: int) -> int:
        """Queue a raw update unchanged.

        Args:
            update: Telegram's ``Update``; it gets an ``update_id`` if it has none.
            times: How many copies to queue.

        Returns:
            The ``update_id``.
        """
        if "update_id" not in update:
            update = {"update_id": self._new_update_id(), **update}
        for _ in range(times):
            self._enqueue(PendingUpdate(update, _lane_of(update), forced=True))
        return int(update["update_id"])

    def repeat(self, update_id: int, times: int) -> bool:
        """Queue an earlier update again.

        Args:
            update_id: One of the newest 10,000 updates.
            times: How many copies to queue.

        Returns:
            Whether the update is known.
        """
        known = self._history.get(update_id)
        if known is not None:
            for _ in range(times):
                self._enqueue(PendingUpdate(known.update, known.lane, forced=True))
        return known is not None

    def _new_update_id(self) -> int:
        update_id = self.bot.next_update_id
        self.bot.next_update_id += 1
        self._store.save("bot", self.bot.id, self.bot)
        return update_id

    def _enqueue(self, pending: PendingUpdate) -> None:
        self._seq = pending.seq = self._seq + 1
        self._pending[pending.seq] = pending
        self._store.save("update", f"{self.bot.id}:{pending.seq}", pending)
        self._history[pending.update["update_id"]] = pending
        if len(self._history) > _MAX_HISTORY:
            del self._history[next(iter(self._history))]
        if self.on_put is not None:
            self.on_put(pending)
        self._condition.notify()

    def pending(self) -> list[PendingUpdate]:
        """Return the unconfirmed updates, oldest first."""
        return list(self._pending.values())

    def confirm(self, pending: PendingUpdate) -> None:
        """Remove an update that the bot has received."""
        if self._pending.pop(pending.seq, None) is not None:
            self._store.delete("update", f"{self.bot.id}:{pending.seq}")

    def drop_all(self) -> None:
        """Remove all unconfirmed updates."""
        for pending in self.pending():
            self.confirm(pending)

    def clear(self) -> None:
        """Remove all updates, also those that could be repeated."""
        self.drop_all()
        self._history.clear()

    def interrupt(self, description: str) -> None:
        """End a waiting long poll: with 409 and this description, or with no updates if it is empty."""
        self._poll_number += 1
        self._conflict_description = description
        self._condition.notify()

    async def poll(self, offset: int, limit: int, timeout: float) -> list[Json]:  # noqa: ASYNC109  (Telegram's name)
        """Carry out ``getUpdates`` (https://core.telegram.org/bots/api#getupdates).

        Args:
            offset: Updates with lower ids are confirmed; a negative one confirms all but the last ``-offset``.
            limit: How many updates to return at most.
            timeout: Seconds to wait for an update at most.

        Raises:
            ApiError: 409 when a webhook is set, or when another poll or ``setWebhook`` interrupts this one.
        """
        if self.bot.webhook is not None:
            raise ApiError(409, _CONFLICT_WEBHOOK_ACTIVE)
        self.interrupt(CONFLICT_OTHER_POLL)
        poll = self._poll_number
        self._confirm_below(offset)
        await self._condition.wait_until(lambda: self._pending or self._poll_number != poll, timeout)
        if self._poll_number != poll:
            if self._conflict_description:
                raise ApiError(409, self._conflict_description)
            return []
        taken = self.pending()[:limit]
        for pending in taken:
            if pending.forced:
                self.confirm(pending)
        return [pending.update for pending in taken]

    def _confirm_below(self, offset: int) -> None:
        if offset < 0:
            for pending in self.pending()[:offset]:
                self.confirm(pending)
        elif offset <= self.bot.next_update_id:
            for pending in self.pending():
                if pending.update["update_id"] < offset and not pending.forced:
                    self.confirm(pending)


def _lane_of(update: Json) -> int:
    """The id of the chat, or else of the user, whose updates must stay in order with this one."""
    for name, payload in update.items():
        if name != "update_id" and isinstance(payload, dict):
            message = payload if "chat" in payload else payload.get("message") or {}
            chat = message.get("chat") or payload.get("from") or payload.get("user") or {}
            return int(chat.get("id", 0))
    return 0
