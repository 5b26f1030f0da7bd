"""The card of a broadcast that is put together: what it says, to whom, how many they are, what it costs."""

from collections.abc import Mapping

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from handlers.context import Desk
from services.broadcast.buttons import BroadcastTap
from services.broadcast.content import (
    FOR_ALL,
    Audience,
    Content,
    audience_of,
    can_be_paid,
    group_of,
    price_in_stars,
    versions_of,
)
from services.messaging.buttons import button, keyboard
from services.messaging.rate_limiter import PAID_PER_SECOND, PER_SECOND
from storage.messaging.broadcast_recipients import count_audience
from storage.messaging.broadcasts import Broadcast

_DAYS = (1, 7, 30)


def version_name(desk: Desk, key: str) -> str:
    return desk.t("broadcast.for_all") if key == FOR_ALL else key


async def card(desk: Desk, broadcast: Broadcast) -> tuple[str, InlineKeyboardMarkup]:
    """What is shown while it is a draft."""
    versions, audience = versions_of(broadcast), audience_of(broadcast)
    people = await count_audience(desk.studio.db, group_of(broadcast)) if versions else 0
    text = _text(desk, broadcast, versions, audience, people)
    return text, _keyboard(desk, broadcast, versions, audience, people)


def _text(
    desk: Desk, broadcast: Broadcast, versions: Mapping[str, Content], audience: Audience, people: int
) -> str:
    t = desk.t
    lines = [t("broadcast.card"), ""]
    for key, content in versions.items():
        lines.append(t("broadcast.version", name=version_name(desk, key), what=_shown(desk, content)))
    if not versions:
        lines.append(t("broadcast.empty"))
    lines += ["", t("broadcast.audience", who=audience_name(desk, audience))]
    lines.append(t("broadcast.people", people))
    if people:
        rate = PAID_PER_SECOND if broadcast.paid else PER_SECOND
        lines.append(t("broadcast.takes", time=f"{people // rate // 60}:{people // rate % 60:02}", rate=rate))
        if broadcast.paid:
            lines.append(t("broadcast.price", price_in_stars(people)))
    return "\n".join(lines)


def _shown(desk: Desk, content: Content) -> str:
    kind = desk.t("broadcast.album", len(content.message_ids)) if content.is_album else ""
    kind = kind or desk.t(f"broadcast.kind.{content.kind}")
    parts = [kind, content.shown, desk.t("broadcast.links", len(content.buttons)) if content.buttons else ""]
    return " · ".join(part for part in parts if part)


def audience_name(desk: Desk, audience: Audience) -> str:
    parts = []
    if audience.language:
        parts.append(desk.t("broadcast.who.language", language=audience.language))
    if audience.active_days:
        parts.append(desk.t("broadcast.who.active", audience.active_days))
    if audience.orders:
        parts.append(desk.t(f"broadcast.who.{audience.orders}"))
    return ", ".join(parts) or desk.t("broadcast.who.all")


def _keyboard(
    desk: Desk, broadcast: Broadcast, versions: Mapping[str, Content], audience: Audience, people: int
) -> InlineKeyboardMarkup:
    t = desk.t

    def tap(label: str, action: str, value: str = "", *, chosen: bool = False) -> InlineKeyboardButton:
        data = BroadcastTap(id=broadcast.id, action=action, value=value)
        return button(f"● {label}" if chosen else label, data)

    # A row of five is too narrow for words on a phone.
    rows = [
        [tap(f"✍️ {version_name(desk, key)}", "write", key, chosen=key in versions) for key in keys]
        for keys in ((FOR_ALL,), desk.studio.texts.languages)
    ]
    linkable = [key for key, content in versions.items() if not content.is_album]
    if linkable:
        rows.append([tap(f"🔗 {version_name(desk, key)}", "links", key) for key in linkable])
    languages = [
        tap(f"👥 {each}", "language", each, chosen=audience.language == each)
        for each in desk.studio.texts.languages
    ]
    rows += [[tap(f"👥 {t('broadcast.who.all')}", "all", chosen=audience == Audience())], languages]
    rows.append(
        [
            tap(t("broadcast.who.active", days), "active", str(days), chosen=audience.active_days == days)
            for days in _DAYS
        ]
    )
    orders = ("paid", "never")
    rows.append(
        [tap(t(f"broadcast.who.{each}"), "orders", each, chosen=audience.orders == each) for each in orders]
    )
    if versions:
        if can_be_paid(versions):
            price = price_in_stars(people)
            rows.append([tap(t("broadcast.button.paid", price), "paid", chosen=broadcast.paid)])
        rows.append([tap(t("broadcast.button.preview"), "preview")])
        if people:
            rows.append([tap(t("broadcast.button.send", people), "send")])
    return keyboard([*rows, [tap(t("broadcast.button.discard"), "discard")]])
