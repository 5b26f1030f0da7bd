"""What admins can change in the dashboard. Each action is a POST with the session's action token."""

from http import HTTPStatus
from typing import Final, cast

from aiohttp import web

from services.admin.admin_actions import ActionConflict, AdminActions
from services.admin.dashboard_auth import Session
from services.jobs.routing import MODES, Mode, PlanRouter
from storage.jobs.jobs import Job
from web.dashboard.access import Access
from web.dashboard.pages import Pages, job_id_from

_CONFLICT_TEXTS: Final = {
    "unknown": "There is no such order.",
    "internal": "This is an internal job: no user ordered it, and it ends by itself.",
    "not_failed": "Only an order that failed or was cancelled can be made again.",
    "retried": "It was made again before: there is a newer order.",
    "not_offered": "What was chosen then is not offered any more, so it cannot be made again as it was.",
    "unreachable": "The user cannot be reached just now, so nothing was ordered.",
    "too_late": "It has ended, or its result is on the way: too late to cancel it.",
    "not_paid": "Only the price of an order that succeeded can be given back.",
    "refunded": "Its price was given back before.",
}
_FOLLOW: Final = "follow"


class Actions:
    """The handlers of the actions. They raise AccessDenied or ActionRefused for requests that are not allowed.

    Args:
        access: Authenticates requests.
        pages: Renders the outcome of an action.
        router: Sets the modes.
        admin_actions: Performs the actions on orders.
    """

    def __init__(self, access: Access, pages: Pages, router: PlanRouter, admin_actions: AdminActions) -> None:
        self._access = access
        self._pages = pages
        self._router = router
        self._admin_actions = admin_actions

    async def set_mode(self, request: web.Request) -> web.Response:
        """Set a mode. Form: `mode` (`auto`, `a`, `b`; with `service` also `follow`), `service`."""
        session = await self._access.authenticate_action(request)
        form = await request.post()
        mode, service = str(form.get("mode", "")), str(form.get("service", "")) or None
        known = mode in MODES or (mode == _FOLLOW and service is not None)
        if not known or (service is not None and service not in self._router.services):
            text = "There is no such mode or service."
            return self._pages.notice(request, HTTPStatus.BAD_REQUEST, "Not done", text)
        wanted = None if mode == _FOLLOW else cast("Mode", mode)
        await self._router.set_mode(wanted, service=service, changed_by=session.admin_id)
        if "application/json" in request.headers.get("Accept", ""):
            return web.json_response({"message": "Switched, in every process"})
        return _redirect("/dashboard")

    async def retry(self, request: web.Request) -> web.Response:
        """Repeat a failed or cancelled order free of charge."""
        session = await self._access.authenticate_action(request)
        try:
            job = await self._admin_actions.retry(job_id_from(request), session.admin_id)
        except ActionConflict as error:
            return await self._conflict(request, session, error)
        return _redirect_to_job(job, "retry")

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel an open order."""
        session = await self._access.authenticate_action(request)
        try:
            job = await self._admin_actions.cancel(job_id_from(request), session.admin_id)
        except ActionConflict as error:
            return await self._conflict(request, session, error)
        return _redirect_to_job(job, "cancel")

    async def refund(self, request: web.Request) -> web.Response:
        """Return the price of an order that succeeded."""
        session = await self._access.authenticate_action(request)
        job_id = job_id_from(request)
        try:
            refund = await self._admin_actions.refund(job_id, session.admin_id)
        except ActionConflict as error:
            return await self._conflict(request, session, error)
        done = "refund" if refund.notified else "refund_not_notified"
        return _redirect(f"/dashboard/jobs/{job_id}?done={done}")

    async def logout(self, request: web.Request) -> web.Response:
        """End the session in this browser."""
        await self._access.authenticate_action(request)
        response = self._pages.notice(
            request, HTTPStatus.OK, "Signed out", "This browser has forgotten your visit.", ask_bot=True
        )
        self._access.delete_cookie(response)
        return response

    async def _conflict(self, request: web.Request, session: Session, error: ActionConflict) -> web.Response:
        """The order's page, with the reason why nothing was done."""
        return await self._pages.render_job(
            request,
            session,
            job_id_from(request),
            status=HTTPStatus.CONFLICT,
            conflict=_CONFLICT_TEXTS[error.conflict],
            conflict_job=error.job,
        )


def _redirect(location: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": location})


def _redirect_to_job(job: Job, done: str) -> web.Response:
    return _redirect(f"/dashboard/jobs/{job.id}?done={done}")
