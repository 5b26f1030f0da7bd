"""The card of a broadcast's draft: content, audience, number of recipients and price."""

from collections.abc import Mapping
from typing import Final

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from handlers.context import UserContext, View
from services.broadcast.content import (
    FOR_ALL,
    Audience,
    Content,
    broadcast_audience,
    can_be_paid,
    content_versions,
    count_audience,
    max_price_in_stars,
)
from services.broadcast.progress import BroadcastCallback
from services.messaging.buttons import button, keyboard
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND
from storage.messaging.broadcasts import Broadcast

_ACTIVE_DAYS: Final = (1, 7, 30)


def version_name(ctx: UserContext, key: str) -> str:
    """The name of a version: its language, or "for all" in the admin's language.

    Args:
        ctx: The admin.
        key: The version's key: a language, or FOR_ALL.
    """
    return ctx.t("broadcast.for_all") if key == FOR_ALL else key


async def draft_card(ctx: UserContext, draft: Broadcast) -> View:
    """The card of a draft. It shows how many users would get the broadcast if it started now."""
    versions, audience = content_versions(draft), broadcast_audience(draft)
    recipients = await count_audience(ctx.db, draft)
    text = _text(ctx, draft, versions, audience, recipients)
    return text, _keyboard(ctx, draft, versions, audience, recipients)


def _text(
    ctx: UserContext, draft: Broadcast, versions: Mapping[str, Content], audience: Audience, recipients: int
) -> str:
    t = ctx.t
    lines = [t("broadcast.card"), ""]
    for key, content in versions.items():
        lines.append(t("broadcast.version", name=version_name(ctx, key), what=_describe_content(ctx, content)))
    if not versions:
        lines.append(t("broadcast.empty"))
    lines += ["", t("broadcast.audience", who=_describe_audience(ctx, audience))]
    lines.append(t("broadcast.people", recipients))
    if recipients:
        rate = PAID_MESSAGES_PER_SECOND if draft.paid else MESSAGES_PER_SECOND
        minutes, seconds = divmod(recipients // rate, 60)
        lines.append(t("broadcast.takes", time=f"{minutes}:{seconds:02}", rate=rate))
        if draft.paid:
            lines.append(t("broadcast.price", max_price_in_stars(recipients)))
    return "\n".join(lines)


def _describe_content(ctx: UserContext, content: Content) -> str:
    kind = ctx.t("broadcast.album", len(content.message_ids)) if content.is_album else ""
    kind = kind or ctx.t(f"broadcast.kind.{content.kind}")
    parts = [kind, content.preview, ctx.t("broadcast.links", len(content.buttons)) if content.buttons else ""]
    return " · ".join(part for part in parts if part)


def _describe_audience(ctx: UserContext, audience: Audience) -> str:
    parts = []
    if audience.language:
        parts.append(ctx.t("broadcast.who.language", language=audience.language))
    if audience.active_days:
        parts.append(ctx.t("broadcast.who.active", audience.active_days))
    if audience.orders:
        parts.append(ctx.t(f"broadcast.who.{audience.orders}"))
    return ", ".join(parts) or ctx.t("broadcast.who.all")


def _keyboard(
    ctx: UserContext, draft: Broadcast, versions: Mapping[str, Content], audience: Audience, recipients: int
) -> InlineKeyboardMarkup:
    t, languages = ctx.t, ctx.texts.languages

    def action_button(label: str, action: str, value: str = "", *, chosen: bool = False) -> InlineKeyboardButton:
        data = BroadcastCallback(id=draft.id, action=action, value=value)
        return button(f"● {label}" if chosen else label, data)

    # "For all" gets its own row: on a phone, five buttons in one row leave no room for their labels.
    rows = [
        [action_button(f"✍️ {version_name(ctx, key)}", "write", key, chosen=key in versions) for key in keys]
        for keys in ((FOR_ALL,), languages)
    ]
    if linkable := [key for key, content in versions.items() if not content.is_album]:
        rows.append([action_button(f"🔗 {version_name(ctx, key)}", "links", key) for key in linkable])
    rows.append([action_button(f"👥 {t('broadcast.who.all')}", "all", chosen=audience == Audience())])
    rows.append(
        [action_button(f"👥 {each}", "language", each, chosen=audience.language == each) for each in languages]
    )
    rows.append(
        [
            action_button(
                t("broadcast.who.active", days), "active", str(days), chosen=audience.active_days == days
            )
            for days in _ACTIVE_DAYS
        ]
    )
    rows.append(
        [
            action_button(t(f"broadcast.who.{each}"), "orders", each, chosen=audience.orders == each)
            for each in ("paid", "never")
        ]
    )
    if versions:
        if can_be_paid(versions):
            price = max_price_in_stars(recipients)
            rows.append([action_button(t("broadcast.button.paid", price), "paid", chosen=draft.paid)])
        rows.append([action_button(t("broadcast.button.preview"), "preview")])
        if recipients:
            rows.append([action_button(t("broadcast.button.send", recipients), "send")])
    return keyboard([*rows, [action_button(t("broadcast.button.discard"), "discard")]])
