"""The card of a broadcast that is put together: what it says, to whom, how many they are, what it costs."""

from collections.abc import Mapping

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from handlers.context import UserContext
from services.broadcast.buttons import BroadcastCallback
from services.broadcast.content import (
    FOR_ALL,
    Audience,
    Content,
    broadcast_audience,
    build_audience_filter,
    can_be_paid,
    content_versions,
    max_price_in_stars,
)
from services.messaging.buttons import button, keyboard
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND
from storage.messaging.broadcast_recipients import count_audience
from storage.messaging.broadcasts import Broadcast

_ACTIVE_DAYS = (1, 7, 30)


def version_name(ctx: UserContext, key: str) -> str:
    return ctx.t("broadcast.for_all") if key == FOR_ALL else key


async def draft_card(ctx: UserContext, broadcast: Broadcast) -> tuple[str, InlineKeyboardMarkup]:
    """What is shown while it is a draft."""
    versions, audience = content_versions(broadcast), broadcast_audience(broadcast)
    recipients = await count_audience(ctx.app.db, build_audience_filter(broadcast)) if versions else 0
    text = _text(ctx, broadcast, versions, audience, recipients)
    return text, _keyboard(ctx, broadcast, versions, audience, recipients)


def _text(
    ctx: UserContext, broadcast: Broadcast, versions: Mapping[str, Content], audience: Audience, recipients: int
) -> str:
    t = ctx.t
    lines = [t("broadcast.card"), ""]
    for key, content in versions.items():
        lines.append(t("broadcast.version", name=version_name(ctx, key), what=_describe_content(ctx, content)))
    if not versions:
        lines.append(t("broadcast.empty"))
    lines += ["", t("broadcast.audience", who=describe_audience(ctx, audience))]
    lines.append(t("broadcast.people", recipients))
    if recipients:
        rate = PAID_MESSAGES_PER_SECOND if broadcast.paid else MESSAGES_PER_SECOND
        lines.append(
            t("broadcast.takes", time=f"{recipients // rate // 60}:{recipients // rate % 60:02}", rate=rate)
        )
        if broadcast.paid:
            lines.append(t("broadcast.price", max_price_in_stars(recipients)))
    return "\n".join(lines)


def _describe_content(ctx: UserContext, content: Content) -> str:
    kind = ctx.t("broadcast.album", len(content.message_ids)) if content.is_album else ""
    kind = kind or ctx.t(f"broadcast.kind.{content.kind}")
    parts = [kind, content.preview, ctx.t("broadcast.links", len(content.buttons)) if content.buttons else ""]
    return " · ".join(part for part in parts if part)


def describe_audience(ctx: UserContext, audience: Audience) -> str:
    parts = []
    if audience.language:
        parts.append(ctx.t("broadcast.who.language", language=audience.language))
    if audience.active_days:
        parts.append(ctx.t("broadcast.who.active", audience.active_days))
    if audience.orders:
        parts.append(ctx.t(f"broadcast.who.{audience.orders}"))
    return ", ".join(parts) or ctx.t("broadcast.who.all")


def _keyboard(
    ctx: UserContext, broadcast: Broadcast, versions: Mapping[str, Content], audience: Audience, recipients: int
) -> InlineKeyboardMarkup:
    t = ctx.t

    def action_button(label: str, action: str, value: str = "", *, chosen: bool = False) -> InlineKeyboardButton:
        data = BroadcastCallback(id=broadcast.id, action=action, value=value)
        return button(f"● {label}" if chosen else label, data)

    # A row of five is too narrow for words on a phone.
    rows = [
        [action_button(f"✍️ {version_name(ctx, key)}", "write", key, chosen=key in versions) for key in keys]
        for keys in ((FOR_ALL,), ctx.app.texts.languages)
    ]
    linkable = [key for key, content in versions.items() if not content.is_album]
    if linkable:
        rows.append([action_button(f"🔗 {version_name(ctx, key)}", "links", key) for key in linkable])
    languages = [
        action_button(f"👥 {each}", "language", each, chosen=audience.language == each)
        for each in ctx.app.texts.languages
    ]
    rows += [[action_button(f"👥 {t('broadcast.who.all')}", "all", chosen=audience == Audience())], languages]
    rows.append(
        [
            action_button(
                t("broadcast.who.active", days), "active", str(days), chosen=audience.active_days == days
            )
            for days in _ACTIVE_DAYS
        ]
    )
    orders = ("paid", "never")
    rows.append(
        [
            action_button(t(f"broadcast.who.{each}"), "orders", each, chosen=audience.orders == each)
            for each in orders
        ]
    )
    if versions:
        if can_be_paid(versions):
            price = max_price_in_stars(recipients)
            rows.append([action_button(t("broadcast.button.paid", price), "paid", chosen=broadcast.paid)])
        rows.append([action_button(t("broadcast.button.preview"), "preview")])
        if recipients:
            rows.append([action_button(t("broadcast.button.send", recipients), "send")])
    return keyboard([*rows, [action_button(t("broadcast.button.discard"), "discard")]])
