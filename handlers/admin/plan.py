"""`/plan`: which plan orders go to. One card that says all, with buttons to switch; and the same in words."""

from datetime import UTC, datetime, timedelta
from typing import get_args

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from handlers.admin.access import is_admin
from handlers.context import UserContext, answer_callback
from services.generation.registry import SERVICES
from services.jobs.routing import Mode, PlanRouter
from services.messaging.buttons import PlanCallback, button, keyboard, menu_button
from storage.reports.order_status import count_recoveries, open_orders

router = Router(name="plan")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_HOUR = timedelta(hours=1)
_MODES: tuple[Mode, ...] = get_args(Mode)
_MAX_LOG_LINES = 15


async def plan_text(ctx: UserContext) -> str:
    """The mode, each service's own, Inngest's health, what runs where, and what fell back in the last hour."""
    t, plans, db = ctx.t, ctx.dispatcher.plans, ctx.app.db
    lines = [t("plan.title"), "", t("plan.mode", mode=t(f"plan.mode.{plans.default_mode}"))]
    lines += [
        t("plan.own", service=_service_name(ctx, service), mode=t(f"plan.mode.{mode}"))
        for service in SERVICES
        if (mode := plans.service_mode(service))
    ]
    lines += ["", _inngest_line(ctx, plans)]
    open_order_lines = [
        t(
            "plan.open",
            service=_service_name(ctx, orders.service),
            plan=orders.plan,
            running=orders.running,
            queued=orders.queued,
        )
        for orders in await open_orders(db)
    ]
    recoveries = await count_recoveries(db, datetime.now(UTC) - _HOUR)
    lines += ["", *(open_order_lines or [t("plan.idle")]), ""]
    lines.append(t("plan.rescues", fell_back=recoveries.fell_back, taken_over=recoveries.taken_over))
    return "\n".join(lines)


def plan_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    t = ctx.t
    rows = [
        _mode_buttons(ctx, ctx.dispatcher.plans.default_mode),
        [
            button(t("plan.button.services"), PlanCallback(mode="services")),
            button("🔄", PlanCallback(mode="show")),
        ],
        [button(t("plan.button.log"), PlanCallback(mode="log")), menu_button(ctx.app.texts, ctx.user.language)],
    ]
    return keyboard(rows)


def services_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    plans = ctx.dispatcher.plans
    labels = {
        service: f"{_service_name(ctx, service)} · {_short_mode(plans.service_mode(service))}"
        for service in SERVICES
    }
    rows = [[button(label, PlanCallback(mode="pick", service=service))] for service, label in labels.items()]
    return keyboard([*rows, [button(ctx.t("button.back"), PlanCallback(mode="show"))]])


def service_keyboard(ctx: UserContext, service: str) -> InlineKeyboardMarkup:
    own = ctx.dispatcher.plans.service_mode(service)
    follow = button(
        _mark_chosen(ctx.t("plan.button.follow"), own is None), PlanCallback(mode="follow", service=service)
    )
    back = button(ctx.t("button.back"), PlanCallback(mode="services"))
    return keyboard([_mode_buttons(ctx, own, service), [follow], [back]])


def _mode_buttons(ctx: UserContext, chosen: Mode | None, service: str = "") -> list[InlineKeyboardButton]:
    return [
        button(
            _mark_chosen(ctx.t(f"plan.button.{mode}"), mode == chosen), PlanCallback(mode=mode, service=service)
        )
        for mode in _MODES
    ]


@router.message(Command("plan"))
async def _plan(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """`/plan`, `/plan status`, `/plan log`, `/plan auto|a|b|follow [service]`."""
    action, _, service = (command.args or "status").lower().partition(" ")
    service = service.strip()
    if action == "log":
        await ctx.send(await _log_text(ctx), plan_keyboard(ctx))
    elif action == "status":
        await ctx.send(await plan_text(ctx), plan_keyboard(ctx))
    elif (action in _MODES or (action == "follow" and service)) and (not service or service in SERVICES):
        await _set_mode(ctx, action, service)
        await ctx.send(await plan_text(ctx), plan_keyboard(ctx))
    else:
        await ctx.send(ctx.t("plan.usage", services=", ".join(SERVICES)), plan_keyboard(ctx))


@router.callback_query(PlanCallback.filter(F.mode == "show"))
async def _show(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, await plan_text(ctx), plan_keyboard(ctx))


@router.callback_query(PlanCallback.filter(F.mode == "log"))
async def _show_log(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(
        callback, await _log_text(ctx), keyboard([[button(ctx.t("button.back"), PlanCallback(mode="show"))]])
    )


@router.callback_query(PlanCallback.filter(F.mode == "services"))
async def _show_services(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, ctx.t("plan.services"), services_keyboard(ctx))


@router.callback_query(PlanCallback.filter(F.mode == "pick"))
async def _show_service(callback: CallbackQuery, ctx: UserContext, callback_data: PlanCallback) -> None:
    await answer_callback(callback)
    text = ctx.t("plan.service", service=_service_name(ctx, callback_data.service))
    await ctx.edit_or_send(callback, text, service_keyboard(ctx, callback_data.service))


@router.callback_query(PlanCallback.filter())
async def _switch_mode(callback: CallbackQuery, ctx: UserContext, callback_data: PlanCallback) -> None:
    await _set_mode(ctx, callback_data.mode, callback_data.service)
    await answer_callback(callback, ctx.t("plan.switched"))
    if callback_data.service:
        await ctx.edit_or_send(callback, ctx.t("plan.services"), services_keyboard(ctx))
    else:
        await ctx.edit_or_send(callback, await plan_text(ctx), plan_keyboard(ctx))


async def _set_mode(ctx: UserContext, mode_name: str, service: str) -> None:
    mode = next((mode for mode in _MODES if mode == mode_name), None)
    await ctx.dispatcher.plans.set_mode(mode, service=service or None, changed_by=ctx.user.id)


async def _log_text(ctx: UserContext) -> str:
    lines = [ctx.t("plan.log")]
    for change in await ctx.dispatcher.plans.mode_changes(limit=_MAX_LOG_LINES):
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


def _inngest_line(ctx: UserContext, plans: PlanRouter) -> str:
    plan_a = plans.plan_a
    minutes = int((datetime.now(UTC) - plan_a.since).total_seconds() // 60)
    key = "plan.inngest.ok" if plan_a.healthy else "plan.inngest.away"
    return ctx.t(key, minutes, since=f"{plan_a.since.astimezone(UTC):%H:%M:%S}", why=plan_a.state)


def _service_name(ctx: UserContext, service: str) -> str:
    spec = SERVICES.get(service)
    return f"{spec.emoji} {ctx.t(f'service.{service}.name')}" if spec else service


def _short_mode(mode: Mode | None) -> str:
    return "↩︎" if mode is None else mode.upper() if mode != "auto" else mode


def _mark_chosen(text: str, chosen: bool) -> str:
    return f"● {text}" if chosen else text
