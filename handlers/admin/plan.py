"""`/plan`: which plan orders go to. One card that says all, with buttons to switch; and the same in words."""

from datetime import UTC, datetime
from typing import get_args

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from handlers.admin.access import is_admin
from handlers.context import Desk, answer
from services.generation.registry import SERVICES
from services.jobs.routing import Mode, Plans
from services.messaging.buttons import PlanTap, button, keyboard, menu_button
from storage.reports.plan_status import count_rescues, open_jobs

router = Router(name="plan")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_HOUR = 3600.0
_MODES: tuple[Mode, ...] = get_args(Mode)
_LOG_SHOWN = 15


async def plan_text(desk: Desk) -> str:
    """The mode, each service's own, Inngest's health, what runs where, and what fell back in the last hour."""
    t, plans, db = desk.t, desk.dispatcher.plans, desk.studio.db
    lines = [t("plan.title"), "", t("plan.mode", mode=t(f"plan.mode.{plans.general_mode}"))]
    lines += [
        t("plan.own", service=_name(desk, service), mode=t(f"plan.mode.{mode}"))
        for service in SERVICES
        if (mode := plans.own_mode(service))
    ]
    lines += ["", _inngest_line(desk, plans)]
    at_work = [
        t("plan.open", service=_name(desk, jobs.service), plan=jobs.plan, running=jobs.running, queued=jobs.queued)
        for jobs in await open_jobs(db)
    ]
    rescues = await count_rescues(db, seconds=_HOUR)
    lines += ["", *(at_work or [t("plan.idle")]), ""]
    lines.append(t("plan.rescues", fell_back=rescues.fell_back, taken_over=rescues.taken_over))
    return "\n".join(lines)


def plan_keyboard(desk: Desk) -> InlineKeyboardMarkup:
    t = desk.t
    rows = [
        _mode_buttons(desk, desk.dispatcher.plans.general_mode),
        [button(t("plan.button.services"), PlanTap(mode="services")), button("🔄", PlanTap(mode="show"))],
        [button(t("plan.button.log"), PlanTap(mode="log")), menu_button(desk.studio.texts, desk.user.language)],
    ]
    return keyboard(rows)


def services_keyboard(desk: Desk) -> InlineKeyboardMarkup:
    plans = desk.dispatcher.plans
    labels = {service: f"{_name(desk, service)} · {_short(plans.own_mode(service))}" for service in SERVICES}
    rows = [[button(label, PlanTap(mode="pick", service=service))] for service, label in labels.items()]
    return keyboard([*rows, [button(desk.t("button.back"), PlanTap(mode="show"))]])


def service_keyboard(desk: Desk, service: str) -> InlineKeyboardMarkup:
    own = desk.dispatcher.plans.own_mode(service)
    follow = button(_marked(desk.t("plan.button.follow"), own is None), PlanTap(mode="follow", service=service))
    back = button(desk.t("button.back"), PlanTap(mode="services"))
    return keyboard([_mode_buttons(desk, own, service), [follow], [back]])


def _mode_buttons(desk: Desk, chosen: Mode | None, service: str = "") -> list[InlineKeyboardButton]:
    return [
        button(_marked(desk.t(f"plan.button.{mode}"), mode == chosen), PlanTap(mode=mode, service=service))
        for mode in _MODES
    ]


@router.message(Command("plan"))
async def plan(message: Message, desk: Desk, command: CommandObject) -> None:
    """`/plan`, `/plan status`, `/plan log`, `/plan auto|a|b|follow [service]`."""
    word, _, service = (command.args or "status").lower().partition(" ")
    service = service.strip()
    if word == "log":
        await desk.say(await _log_text(desk), plan_keyboard(desk))
    elif word == "status":
        await desk.say(await plan_text(desk), plan_keyboard(desk))
    elif (word in _MODES or (word == "follow" and service)) and (not service or service in SERVICES):
        await _set(desk, word, service)
        await desk.say(await plan_text(desk), plan_keyboard(desk))
    else:
        await desk.say(desk.t("plan.usage", services=", ".join(SERVICES)), plan_keyboard(desk))


@router.callback_query(PlanTap.filter(F.mode == "show"))
async def show(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, await plan_text(desk), plan_keyboard(desk))


@router.callback_query(PlanTap.filter(F.mode == "log"))
async def show_log(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, await _log_text(desk), keyboard([[button(desk.t("button.back"), PlanTap(mode="show"))]]))


@router.callback_query(PlanTap.filter(F.mode == "services"))
async def show_services(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, desk.t("plan.services"), services_keyboard(desk))


@router.callback_query(PlanTap.filter(F.mode == "pick"))
async def show_service(tap: CallbackQuery, desk: Desk, callback_data: PlanTap) -> None:
    await answer(tap)
    text = desk.t("plan.service", service=_name(desk, callback_data.service))
    await desk.show(tap, text, service_keyboard(desk, callback_data.service))


@router.callback_query(PlanTap.filter())
async def switch(tap: CallbackQuery, desk: Desk, callback_data: PlanTap) -> None:
    await _set(desk, callback_data.mode, callback_data.service)
    await answer(tap, desk.t("plan.switched"))
    if callback_data.service:
        await desk.show(tap, desk.t("plan.services"), services_keyboard(desk))
    else:
        await desk.show(tap, await plan_text(desk), plan_keyboard(desk))


async def _set(desk: Desk, word: str, service: str) -> None:
    mode = next((mode for mode in _MODES if mode == word), None)
    await desk.dispatcher.plans.set_mode(mode, service=service or None, changed_by=desk.user.id)


async def _log_text(desk: Desk) -> str:
    lines = [desk.t("plan.log")]
    for change in await desk.dispatcher.plans.changes(limit=_LOG_SHOWN):
        service = change.key.partition(":")[2]
        lines.append(
            desk.t(
                "plan.log.line",
                at=f"{change.changed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                who=str(change.changed_by or "—"),
                service=_name(desk, service) if service else desk.t("plan.all"),
                mode=desk.t(f"plan.mode.{change.value}" if change.value else "plan.mode.follow"),
            )
        )
    return "\n".join(lines if len(lines) > 1 else [*lines, desk.t("plan.log.empty")])


def _inngest_line(desk: Desk, plans: Plans) -> str:
    plan_a = plans.plan_a
    minutes = int((datetime.now(UTC) - plan_a.since).total_seconds() // 60)
    key = "plan.inngest.ok" if plan_a.healthy else "plan.inngest.away"
    return desk.t(key, minutes, since=f"{plan_a.since.astimezone(UTC):%H:%M:%S}", why=plan_a.state)


def _name(desk: Desk, service: str) -> str:
    spec = SERVICES.get(service)
    return f"{spec.emoji} {desk.t(f'service.{service}.name')}" if spec else service


def _short(mode: Mode | None) -> str:
    return "↩︎" if mode is None else mode.upper() if mode != "auto" else mode


def _marked(text: str, chosen: bool) -> str:
    return f"● {text}" if chosen else text
