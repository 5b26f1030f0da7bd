"""`/plan`: shows and changes which plan orders go to, with buttons in one message or with arguments."""

from datetime import UTC, datetime, timedelta
from typing import Final

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from handlers.admin.access import is_admin
from handlers.context import UserContext, View, answer_callback
from handlers.views import service_name
from services.generation.registry import SERVICES
from services.jobs.routing import MODES, Mode
from services.messaging.buttons import PlanCallback, button, keyboard, menu_button
from storage.reports.order_status import count_recoveries, open_orders

router = Router(name="plan")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_HOUR: Final = timedelta(hours=1)
_MAX_LOG_LINES: Final = 15


async def show_plan(ctx: UserContext, args: str) -> None:
    """Show the plans, or change a mode and show them.

    Args:
        ctx: The admin.
        args: `status` or nothing, `log`, or `auto|a|b|follow [service]`; anything else is answered with the usage.
    """
    action, _, service = (args or "status").lower().partition(" ")
    service = service.strip()
    if action == "log":
        await ctx.send(await _log_text(ctx), _plan_keyboard(ctx))
    elif action == "status":
        await ctx.send(*await _plan_view(ctx))
    elif (action in MODES or (action == "follow" and service)) and (not service or service in SERVICES):
        await _set_mode(ctx, action, service)
        await ctx.send(*await _plan_view(ctx))
    else:
        await ctx.send(ctx.t("plan.usage", services=", ".join(SERVICES)), _plan_keyboard(ctx))


@router.message(Command("plan"))
async def _plan(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """Show and change which plan orders go to."""
    await show_plan(ctx, command.args or "")


@router.callback_query(PlanCallback.filter(F.mode == "show"))
async def _show(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _plan_view(ctx))


@router.callback_query(PlanCallback.filter(F.mode == "log"))
async def _show_log(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(
        callback, await _log_text(ctx), keyboard([[button(ctx.t("button.back"), PlanCallback(mode="show"))]])
    )


@router.callback_query(PlanCallback.filter(F.mode == "services"))
async def _show_services(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *_services_view(ctx))


@router.callback_query(PlanCallback.filter(F.mode == "pick"))
async def _show_service(callback: CallbackQuery, ctx: UserContext, callback_data: PlanCallback) -> None:
    await answer_callback(callback)
    text = ctx.t("plan.service", service=_service_name(ctx, callback_data.service))
    await ctx.edit_or_send(callback, text, _service_keyboard(ctx, callback_data.service))


@router.callback_query(PlanCallback.filter())
async def _switch_mode(callback: CallbackQuery, ctx: UserContext, callback_data: PlanCallback) -> None:
    await _set_mode(ctx, callback_data.mode, callback_data.service)
    await answer_callback(callback, ctx.t("plan.switched"))
    view = _services_view(ctx) if callback_data.service else await _plan_view(ctx)
    await ctx.edit_or_send(callback, *view)


async def _set_mode(ctx: UserContext, mode_name: str, service: str) -> None:
    """Set a mode. A name that is not a mode, such as `follow`, makes the service follow the default again."""
    mode = next((mode for mode in MODES if mode == mode_name), None)
    await ctx.router.set_mode(mode, service=service or None, changed_by=ctx.user.id)


async def _plan_view(ctx: UserContext) -> View:
    """The modes, Inngest's health, the open orders by plan, and the recoveries of the last hour."""
    t, plans = ctx.t, ctx.router
    lines = [t("plan.title"), "", t("plan.mode", mode=t(f"plan.mode.{plans.default_mode}"))]
    lines += [
        t("plan.own", service=_service_name(ctx, service), mode=t(f"plan.mode.{mode}"))
        for service in SERVICES
        if (mode := plans.service_mode(service))
    ]
    lines += ["", _inngest_line(ctx)]
    open_order_lines = [
        t(
            "plan.open",
            service=_service_name(ctx, orders.service),
            plan=orders.plan,
            running=orders.running,
            queued=orders.queued,
        )
        for orders in await open_orders(ctx.db)
    ]
    recoveries = await count_recoveries(ctx.db, datetime.now(UTC) - _HOUR)
    lines += ["", *(open_order_lines or [t("plan.idle")]), ""]
    lines.append(t("plan.rescues", fell_back=recoveries.fell_back, taken_over=recoveries.taken_over))
    return "\n".join(lines), _plan_keyboard(ctx)


async def _log_text(ctx: UserContext) -> str:
    """The latest changes of modes: who set which one, and when."""
    lines = [ctx.t("plan.log")]
    for change in await ctx.router.mode_changes(limit=_MAX_LOG_LINES):
        service = change.key.partition(":")[2]
        lines.append(
            ctx.t(
                "plan.log.line",
                at=f"{change.changed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                who=str(change.changed_by or "—"),
                service=_service_name(ctx, service) if service else ctx.t("plan.all"),
                mode=ctx.t(f"plan.mode.{change.value}" if change.value else "plan.mode.follow"),
            )
        )
    return "\n".join(lines if len(lines) > 1 else [*lines, ctx.t("plan.log.empty")])


def _inngest_line(ctx: UserContext) -> str:
    plan_a = ctx.router.plan_a
    minutes = int((datetime.now(UTC) - plan_a.since).total_seconds() // 60)
    key = "plan.inngest.ok" if plan_a.healthy else "plan.inngest.away"
    return ctx.t(key, minutes, since=f"{plan_a.since.astimezone(UTC):%H:%M:%S}", why=plan_a.state)


def _plan_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    services = button(ctx.t("plan.button.services"), PlanCallback(mode="services"))
    log = button(ctx.t("plan.button.log"), PlanCallback(mode="log"))
    return keyboard(
        [
            _mode_buttons(ctx, ctx.router.default_mode),
            [services, button("🔄", PlanCallback(mode="show"))],
            [log, menu_button(ctx.texts, ctx.language)],
        ]
    )


def _services_view(ctx: UserContext) -> View:
    """All services with their own modes, to pick one."""
    rows = [
        [
            button(
                f"{_service_name(ctx, service)} · {_short_mode(ctx.router.service_mode(service))}",
                PlanCallback(mode="pick", service=service),
            )
        ]
        for service in SERVICES
    ]
    back = button(ctx.t("button.back"), PlanCallback(mode="show"))
    return ctx.t("plan.services"), keyboard([*rows, [back]])


def _service_keyboard(ctx: UserContext, service: str) -> InlineKeyboardMarkup:
    chosen = ctx.router.service_mode(service)
    follow = button(
        _mark_chosen(ctx.t("plan.button.follow"), chosen is None), PlanCallback(mode="follow", service=service)
    )
    back = button(ctx.t("button.back"), PlanCallback(mode="services"))
    return keyboard([_mode_buttons(ctx, chosen, service), [follow], [back]])


def _mode_buttons(ctx: UserContext, chosen: Mode | None, service: str = "") -> list[InlineKeyboardButton]:
    return [
        button(
            _mark_chosen(ctx.t(f"plan.button.{mode}"), mode == chosen), PlanCallback(mode=mode, service=service)
        )
        for mode in MODES
    ]


def _service_name(ctx: UserContext, service: str) -> str:
    """A service's name; for other job kinds, their id."""
    spec = SERVICES.get(service)
    return service_name(ctx, spec) if spec else service


def _short_mode(mode: Mode | None) -> str:
    return "↩︎" if mode is None else mode.upper() if mode != "auto" else mode


def _mark_chosen(text: str, chosen: bool) -> str:
    return f"● {text}" if chosen else text
