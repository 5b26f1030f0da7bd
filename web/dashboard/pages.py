"""The pages: what is live, the list of orders, one order's story, and the door."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

import aiohttp_jinja2
from aiohttp import web
from loguru import logger

from services.admin.dashboard_auth import AccessDenied, DashboardAuth, Session
from services.dispatch import OrderDispatcher
from services.jobs.routing import MODES
from storage.reports.job_detail import search_jobs
from web.dashboard.access import Access
from web.dashboard.formatting import service_names
from web.dashboard.order_detail import OrderDetail, load_order_detail
from web.dashboard.search import PAGE_SIZE, STATES, parse_search

ACCESS_DENIED_TEXTS = {
    "forged": "This is not one of our links, or it lost a piece on its way.",
    "used": "This link has been used. Each opens the dashboard once.",
    "expired": "This has run out. A link is good for ten minutes, a visit for twelve hours.",
    "no_admin": "Only admins of this bot may look at the dashboard.",
    "no_session": "The dashboard opens with a link that the bot gives to its admins.",
}


class Pages:
    def __init__(self, dispatcher: OrderDispatcher, auth: DashboardAuth, access: Access) -> None:
        self._dispatcher = dispatcher
        self._auth = auth
        self._access = access
        self._names = service_names(dispatcher.studio.texts)

    async def live(self, request: web.Request) -> web.Response:
        session = self._access.authenticate(request)
        plans = self._dispatcher.plans
        service_modes = {service: plans.service_mode(service) for service in self._names}
        return self._render(
            request, "dashboard.html", session, mode=plans.default_mode, own=service_modes, modes=MODES
        )

    async def jobs(self, request: web.Request) -> web.Response:
        """The list of orders, a page of it."""
        session = self._access.authenticate(request)
        search_request = parse_search(request.query)
        db = self._dispatcher.studio.db
        found = await search_jobs(db, search_request.search, limit=PAGE_SIZE + 1) if search_request.search else []
        jobs, more = found[:PAGE_SIZE], len(found) > PAGE_SIZE
        older = search_request.next_page_query(jobs[-1]) if more else ""
        first = not (search_request.search and search_request.search.older_than)
        context: dict[str, Any] = {
            "jobs": jobs,
            "asked": search_request,
            "older": older,
            "first": first,
            "states": STATES,
        }
        return self._render(request, "dashboard_jobs.html", session, **context)

    async def job(self, request: web.Request) -> web.Response:
        session = self._access.authenticate(request)
        return await self.render_job(request, session, job_id_from(request), done=request.query.get("done", ""))

    async def render_job(
        self, request: web.Request, session: Session, job_id: UUID, *, status: int = 200, **more: Any
    ) -> web.Response:
        """The story, with a word about an action on it. Raises HTTPNotFound."""
        detail = await load_order_detail(self._dispatcher.studio, job_id)
        if detail is None:
            raise web.HTTPNotFound
        return self._render(
            request, "dashboard_job.html", session, status=status, **_detail_context(detail), **more
        )

    async def login_page(self, request: web.Request) -> web.Response:
        """The door, with a button. Looking at a link does not use it up: Telegram's preview looks as well."""
        token = request.match_info["token"]
        await self._auth.check_link(token)
        return self._render(request, "dashboard_enter.html", None)

    async def login(self, request: web.Request) -> web.Response:
        """Use the link up, and give the browser its session."""
        self._access.check_origin(request)
        session = await self._auth.login(request.match_info["token"])
        logger.info("admin {} has opened the dashboard", session.admin_id)
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/dashboard"})
        self._access.set_cookie(response, session)
        return response

    def access_denied(self, request: web.Request, error: AccessDenied) -> web.Response:
        return self.notice(
            request, HTTPStatus.FORBIDDEN, "The door is closed", ACCESS_DENIED_TEXTS[error.reason], ask_bot=True
        )

    def notice(
        self, request: web.Request, status: int, title: str, text: str, *, ask_bot: bool = False
    ) -> web.Response:
        """A page that says one thing; JSON for our own scripts."""
        if "application/json" in request.headers.get("Accept", ""):
            return web.json_response({"said": text}, status=status)
        return self._render(
            request, "dashboard_notice.html", None, status=status, title=title, words=text, ask_bot=ask_bot
        )

    def _render(
        self, request: web.Request, template: str, session: Session | None, *, status: int = 200, **more: Any
    ) -> web.Response:
        token = self._auth.action_token(session) if session else ""
        context = {"session": session, "action_token": token, "names": self._names, "path": request.path, **more}
        return aiohttp_jinja2.render_template(template, request, context, status=status)


def job_id_from(request: web.Request) -> UUID:
    """Raises HTTPNotFound."""
    try:
        return UUID(request.match_info["job"])
    except ValueError:
        raise web.HTTPNotFound from None


def _detail_context(detail: OrderDetail) -> dict[str, Any]:
    return {"story": detail, "job": detail.job, "facts": detail.facts}
