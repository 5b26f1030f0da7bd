"""Methods by which a bot receives updates: https://core.telegram.org/bots/api#getting-updates."""

import re
from urllib.parse import urlsplit

from aiogram import methods

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import WebhookConfig

_MAX_POLL_SECONDS = 50


@handles(methods.GetUpdates)
async def get_updates(call: ApiCall, method: methods.GetUpdates) -> list[Json]:
    """Wait for updates by long polling, for at most 50 seconds.

    Raises:
        ApiError: 409 when a webhook is set or another poll interrupts this one.
    """
    queue = call.state.queues[call.bot.id]
    if method.allowed_updates is not None and call.bot.webhook is None:
        _set_allowed_updates(call, method.allowed_updates)
    limit = min(max(method.limit or 100, 1), 100)
    timeout = min(max(method.timeout or 0, 0), _MAX_POLL_SECONDS)
    return await queue.poll(method.offset or 0, limit, timeout)


def _set_allowed_updates(call: ApiCall, kinds: list[str]) -> None:
    if (kinds or None) != call.bot.allowed_updates:
        call.bot.allowed_updates = kinds or None
        call.state.save_bot(call.bot)


@handles(methods.SetWebhook)
def set_webhook(call: ApiCall, method: methods.SetWebhook) -> bool:
    """Set a webhook, also with plain HTTP; an empty URL removes it.

    Raises:
        ApiError: 400 for an invalid URL or secret token.
    """
    if not method.url:
        return delete_webhook(call, method)
    if urlsplit(method.url).scheme not in ("http", "https") or not urlsplit(method.url).hostname:
        raise bad_request("invalid webhook URL specified")
    secret = method.secret_token or ""
    if len(secret) > 256:
        raise bad_request("secret token is too long")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", secret):
        raise bad_request("secret token contains unallowed characters")
    queue = call.state.queues[call.bot.id]
    if method.drop_pending_updates:
        queue.drop_all()
    if method.allowed_updates is not None:
        _set_allowed_updates(call, method.allowed_updates)
    connections = min(max(method.max_connections or 40, 1), 100)
    call.bot.webhook = config = WebhookConfig(
        url=method.url, secret_token=secret, max_connections=connections, ip_address=method.ip_address
    )
    call.state.save_bot(call.bot)
    queue.interrupt("Conflict: terminated by setWebhook request")
    call.webhook.start(config)
    return True


@handles(methods.DeleteWebhook)
def delete_webhook(call: ApiCall, method: methods.DeleteWebhook | methods.SetWebhook) -> bool:
    """Remove the webhook; the updates wait for ``getUpdates`` unless they are to be dropped."""
    if method.drop_pending_updates:
        call.state.queues[call.bot.id].drop_all()
    if call.bot.webhook is not None:
        call.bot.webhook = None
        call.webhook.stop()
        call.state.save_bot(call.bot)
    return True


@handles(methods.GetWebhookInfo)
def get_webhook_info(call: ApiCall, _method: methods.GetWebhookInfo) -> Json:
    """Return the webhook, the number of waiting updates and the last delivery error."""
    config = call.bot.webhook
    info: Json = {
        "url": config["url"] if config else "",
        "has_custom_certificate": False,
        "pending_update_count": len(call.state.queues[call.bot.id].pending()),
    }
    if config is not None:
        info |= {"max_connections": config["max_connections"], "ip_address": config["ip_address"] or "127.0.0.1"}
        if call.webhook.last_error is not None:
            info["last_error_date"], info["last_error_message"] = call.webhook.last_error
    if call.bot.allowed_updates:
        info["allowed_updates"] = call.bot.allowed_updates
    return info
