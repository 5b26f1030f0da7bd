"""The pages: the live page, the list of orders, an order, and the login."""

from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import aiohttp_jinja2
from aiohttp import web
from loguru import logger

from services.admin.dashboard_auth import AccessDenied, DashboardAuth, Session
from services.core.i18n import Texts
from services.jobs.routing import MODES, PlanRouter
from storage.pool import Pool
from storage.reports.job_detail import search_jobs
from web.dashboard.access import Access
from web.dashboard.formatting import service_names
from web.dashboard.order_detail import OrderDetail, load_order_detail
from web.dashboard.search import PAGE_SIZE, STATES, parse_search

_ACCESS_DENIED_TEXTS: Final = {
    "forged": "This is not one of our links, or it lost a piece on its way.",
    "used": "This link has been used. Each opens the dashboard once.",
    "expired": "This has run out. A link is good for ten minutes, a visit for twelve hours.",
    "no_admin": "Only admins of this bot may look at the dashboard.",
    "no_session": "The dashboard opens with a link that the bot gives to its admins.",
}


class Pages:
    """The handlers of the pages. Pages for admins raise AccessDenied if the request has no valid session.

    Args:
        db: The database.
        texts: The names of services, and the texts of the messages that users saw.
        router: The modes.
        auth: Checks links, and creates action tokens.
        access: Authenticates requests.
    """

    def __init__(self, db: Pool, texts: Texts, router: PlanRouter, auth: DashboardAuth, access: Access) -> None:
        self._db = db
        self._texts = texts
        self._router = router
        self._auth = auth
        self._access = access
        self._names = service_names(texts)

    async def live(self, request: web.Request) -> web.Response:
        """The live page."""
        session = self._access.authenticate(request)
        service_modes = {service: self._router.service_mode(service) for service in self._names}
        context: dict[str, Any] = {
            "mode": self._router.default_mode,
            "service_modes": service_modes,
            "modes": MODES,
        }
        return self._render(request, "dashboard.html", session, **context)

    async def jobs(self, request: web.Request) -> web.Response:
        """Orders, 25 per page. Query: `q`, `service`, `state`, `plan`."""
        session = self._access.authenticate(request)
        search_request = parse_search(request.query)
        search = search_request.search
        found = await search_jobs(self._db, search, limit=PAGE_SIZE + 1) if search else []
        jobs, more = found[:PAGE_SIZE], len(found) > PAGE_SIZE
        context: dict[str, Any] = {
            "jobs": jobs,
            "search_request": search_request,
            "older": search_request.next_page_query(jobs[-1]) if more else "",
            "first": not (search and search.older_than),
            "states": STATES,
        }
        return self._render(request, "dashboard_jobs.html", session, **context)

    async def job(self, request: web.Request) -> web.Response:
        """One order."""
        session = self._access.authenticate(request)
        return await self.render_job(request, session, job_id_from(request), done=request.query.get("done", ""))

    async def render_job(
        self, request: web.Request, session: Session, job_id: UUID, *, status: int = 200, **more: Any
    ) -> web.Response:
        """Render an order's page, with or without the outcome of an action.

        Args:
            request: The request.
            session: The admin's session.
            job_id: The order.
            status: The HTTP status.
            **more: `done` says what was done; `conflict` says why nothing was done, with `conflict_job`.

        Raises:
            HTTPNotFound: There is no such order.
        """
        detail = await load_order_detail(self._db, self._texts, job_id)
        if detail is None:
            raise web.HTTPNotFound
        context = {**_detail_context(detail), **more}
        return self._render(request, "dashboard_job.html", session, status=status, **context)

    async def login_page(self, request: web.Request) -> web.Response:
        """The page behind a login link, with a button that logs in.

        The GET does not use up the link, because Telegram's link preview sends one too.

        Raises:
            AccessDenied: The link is not valid.
        """
        await self._auth.check_link(request.match_info["token"])
        return self._render(request, "dashboard_login.html", None)

    async def login(self, request: web.Request) -> web.Response:
        """Use up the login link and set the session cookie.

        Raises:
            AccessDenied: The link is not valid.
            ActionRefused: The request comes from another site.
        """
        self._access.check_origin(request)
        session = await self._auth.login(request.match_info["token"])
        logger.info("dashboard opened", admin=session.admin_id)
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/dashboard"})
        self._access.set_cookie(response, session)
        return response

    def access_denied(self, request: web.Request, error: AccessDenied) -> web.Response:
        """The page that says why access was denied and how to get a link."""
        return self.notice(
            request, HTTPStatus.FORBIDDEN, "Access denied", _ACCESS_DENIED_TEXTS[error.reason], ask_bot=True
        )

    def notice(
        self, request: web.Request, status: int, title: str, text: str, *, ask_bot: bool = False
    ) -> web.Response:
        """A page with one message, or JSON for our own scripts.

        Args:
            request: The request.
            status: The HTTP status.
            title: The heading of the page.
            text: The message.
            ask_bot: Whether to say how to get a link instead of linking to the dashboard.
        """
        if "application/json" in request.headers.get("Accept", ""):
            return web.json_response({"message": text}, status=status)
        return self._render(
            request, "dashboard_notice.html", None, status=status, title=title, text=text, ask_bot=ask_bot
        )

    def _render(
        self, request: web.Request, template: str, session: Session | None, *, status: int = 200, **more: Any
    ) -> web.Response:
        token = self._auth.action_token(session) if session else ""
        context = {"session": session, "action_token": token, "names": self._names, "path": request.path, **more}
        return aiohttp_jinja2.render_template(template, request, context, status=status)


def job_id_from(request: web.Request) -> UUID:
    """The job id in the path of a request. Raises HTTPNotFound if it is invalid."""
    try:
        return UUID(request.match_info["job"])
    except ValueError:
        raise web.HTTPNotFound from None


def _detail_context(detail: OrderDetail) -> dict[str, Any]:
    return {"detail": detail, "job": detail.job, "facts": detail.facts}
