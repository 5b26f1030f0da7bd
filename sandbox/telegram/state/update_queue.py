"""Updates on their way to a bot: the queue behind ``getUpdates`` and the webhook."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.telegram.condition import Condition
from sandbox.telegram.errors import ApiError
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.store import Store

Json = dict[str, Any]

MAX_HISTORY = 10_000
OPT_IN_UPDATE_KINDS = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
CONFLICT_OTHER_POLL = (
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
)
CONFLICT_WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)


@dataclass(slots=True)
class PendingUpdate:
    """An update that the bot has not confirmed. ``forced`` is delivered once whatever the offset."""

    seq: int
    update: Json
    lane: int
    forced: bool = False

    @property
    def update_id(self) -> int:
        """Telegram's id of the update."""
        return int(self.update["update_id"])


class UpdateQueue:
    """One bot's updates, in order."""

    def __init__(self, bot: BotAccount, store: Store) -> None:
        self.bot = bot
        self._store = store
        self._pending: dict[int, PendingUpdate] = {}
        self._seq = 0
        self._history: dict[int, tuple[Json, int]] = {}
        self._condition = Condition()
        self._poll_number = 0
        self._conflict_description = CONFLICT_OTHER_POLL
        self.on_put: Callable[[PendingUpdate], None] | None = None

    def restore(self, seq: int, record: Json) -> None:
        """Take back an update that was waiting when the stand ended."""
        self._seq = max(self._seq, seq)
        self._pending[seq] = PendingUpdate(seq, record["update"], record["lane"], record.get("forced", False))

    def put(self, kind: str, payload: Json, lane: int) -> int:
        """Queue a new update of a kind (``message``, ``callback_query``, …); its ``update_id``."""
        update_id = self.bot.next_update_id
        self.bot.next_update_id += 1
        self._store.save("bot", self.bot.id, self.bot.to_record())
        allowed = self.bot.allowed_updates
        if kind in allowed if allowed else kind not in OPT_IN_UPDATE_KINDS:
            self._enqueue({"update_id": update_id, kind: payload}, lane)
        return update_id

    def inject(self, update: Json, lane: int) -> int:
        """Queue a raw update as it is, whatever its id."""
        if "update_id" not in update:
            update = {"update_id": self.bot.next_update_id, **update}
            self.bot.next_update_id += 1
        self._enqueue(update, lane, forced=True)
        return int(update["update_id"])

    def repeat(self, update_id: int, times: int) -> bool:
        """Queue an update that was there before again; whether it is known."""
        known = self._history.get(update_id)
        if known is None:
            return False
        for _ in range(times):
            self._enqueue(known[0], known[1], forced=True)
        return True

    def _enqueue(self, update: Json, lane: int, *, forced: bool = False) -> None:
        self._seq += 1
        pending = PendingUpdate(self._seq, update, lane, forced)
        self._pending[self._seq] = pending
        self._store.save(
            "update", f"{self.bot.id}:{self._seq}", {"update": update, "lane": lane, "forced": forced}
        )
        self._history[pending.update_id] = (update, lane)
        if len(self._history) > MAX_HISTORY:
            del self._history[next(iter(self._history))]
        if self.on_put is not None:
            self.on_put(pending)
        self._condition.notify()

    def pending(self) -> list[PendingUpdate]:
        """What waits, oldest first."""
        return list(self._pending.values())

    def __len__(self) -> int:
        return len(self._pending)

    def confirm(self, pending: PendingUpdate) -> None:
        """The bot has this update."""
        if self._pending.pop(pending.seq, None) is not None:
            self._store.delete("update", f"{self.bot.id}:{pending.seq}")

    def drop_all(self) -> None:
        """Forget what waits."""
        for pending in self.pending():
            self.confirm(pending)

    def clear(self) -> None:
        """Forget everything, the past too."""
        self.drop_all()
        self._history.clear()

    def interrupt(self, description: str) -> None:
        """End a long poll that waits now with 409."""
        self._poll_number += 1
        self._conflict_description = description
        self._condition.notify()

    def end_poll(self) -> None:
        """End a long poll that waits now with an empty answer: the stand is closing."""
        self.interrupt("")

    async def poll(self, offset: int, limit: int, timeout: float) -> list[Json]:  # noqa: ASYNC109  (Telegram's word)
        """``getUpdates``: confirm what is below ``offset``, then wait up to ``timeout`` seconds for updates."""
        if self.bot.webhook is not None:
            raise ApiError(409, CONFLICT_WEBHOOK_ACTIVE)
        self.interrupt(CONFLICT_OTHER_POLL)
        poll = self._poll_number
        self._confirm_below(offset)
        ends = time.monotonic() + timeout
        while True:
            ready = self._take(limit)
            left = ends - time.monotonic()
            if ready or left <= 0:
                return ready
            await self._condition.wait(left)
            if self._poll_number != poll:
                if not self._conflict_description:
                    return []
                raise ApiError(409, self._conflict_description)

    def _confirm_below(self, offset: int) -> None:
        waiting = self.pending()
        if offset < 0:
            for pending in waiting[:offset]:
                self.confirm(pending)
        elif 0 < offset <= self.bot.next_update_id:
            for pending in waiting:
                if pending.update_id < offset and not pending.forced:
                    self.confirm(pending)

    def _take(self, limit: int) -> list[Json]:
        taken = []
        for pending in self.pending()[:limit]:
            taken.append(pending.update)
            if pending.forced:
                self.confirm(pending)
        return taken


def lane_of(update: Json) -> int:
    """The chat, else the person, whose updates stay in order with this one."""
    for name, payload in update.items():
        if name == "update_id" or not isinstance(payload, dict):
            continue
        message = payload if "chat" in payload else payload.get("message") or {}
        chat = message.get("chat") or payload.get("from") or payload.get("user") or {}
        return int(chat.get("id", 0))
    return 0
