"""`/dashboard`: a separate aiohttp application in the same process, with its own headers and error pages."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import aiohttp_jinja2
import asyncpg
import jinja2
from aiohttp import web
from loguru import logger

from services.admin.admin_actions import AdminActions
from services.admin.dashboard_auth import AccessDenied, DashboardAuth
from services.core.background import BackgroundTasks
from services.core.i18n import Texts
from services.jobs.routing import PlanRouter
from services.jobs.worker import Worker
from storage.pool import DATABASE_UNAVAILABLE, Pool
from web.dashboard.access import PATH, Access, ActionRefused, is_loopback, route_path
from web.dashboard.actions import Actions
from web.dashboard.formatting import format_credits, format_duration, format_time
from web.dashboard.live_snapshot import LiveSnapshot, ReadHealth
from web.dashboard.pages import Pages
from web.dashboard.stream import Stream

_WEB_DIR: Final = Path(__file__).resolve().parent.parent
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # not no-referrer: browsers would then send `Origin: null` with a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dashboard:
    """The dashboard.

    Args:
        db: The database.
        texts: The names of services and incidents, and the texts of the messages that users saw.
        router: The modes, and Inngest's health.
        worker: Plan B's worker in this process.
        background: Runs the reading of `/health`.
        auth: Links and sessions.
        admin_actions: Performs the actions on orders.
        read_health: Returns the body of `/health`.
        sandbox_host: The address that a process with the sandbox listens on. If it is a loopback address, clients on
            this machine need no login. None without the sandbox.
    """

    def __init__(
        self,
        db: Pool,
        texts: Texts,
        router: PlanRouter,
        worker: Worker,
        background: BackgroundTasks,
        auth: DashboardAuth,
        admin_actions: AdminActions,
        read_health: ReadHealth,
        *,
        sandbox_host: str | None = None,
    ) -> None:
        on_loopback = sandbox_host is not None and is_loopback(sandbox_host)
        self._access = Access(auth, anonymous_admin_id=min(auth.admins, default=None) if on_loopback else None)
        self._pages = Pages(db, texts, router, auth, self._access)
        self._actions = Actions(self._access, self._pages, router, admin_actions)
        self._stream = Stream(self._access, LiveSnapshot(db, texts, router, worker, background, read_health))

    def add_routes(self, app: web.Application) -> None:
        """Add the dashboard to the web application, at `/dashboard`."""
        app.add_subapp(PATH, self._build_app())

    def _build_app(self) -> web.Application:
        app = web.Application(middlewares=[self._handle_errors])
        templates = jinja2.FileSystemLoader(_WEB_DIR / "templates")
        filters: dict[str, Callable[..., str]] = {
            "duration": format_duration,
            "timestamp": format_time,
            "credits": format_credits,
        }
        aiohttp_jinja2.setup(
            app, loader=templates, autoescape=True, filters=filters, trim_blocks=True, lstrip_blocks=True
        )
        pages, actions = self._pages, self._actions
        app.add_routes(
            [
                web.get("", pages.live),
                web.get("/", _redirect_without_slash),
                web.get("/stream", self._stream.serve),
                web.get("/enter/{token}", pages.login_page),
                web.post("/enter/{token}", pages.login),
                web.post("/leave", actions.logout),
                web.post("/mode", actions.set_mode),
                web.get("/jobs", pages.jobs),
                web.get("/jobs/{job}", pages.job),
                web.post("/jobs/{job}/retry", actions.retry),
                web.post("/jobs/{job}/cancel", actions.cancel),
                web.post("/jobs/{job}/refund", actions.refund),
            ]
        )
        app.router.add_static("/static", _WEB_DIR / "static" / "dashboard")
        app.on_response_prepare.append(_add_headers)
        app.on_shutdown.append(self._stream.close)
        return app

    @web.middleware
    async def _handle_errors(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        notice = self._pages.notice
        try:
            response = await handler(request)
        except AccessDenied as error:
            return self._pages.access_denied(request, error)
        except ActionRefused:
            text = "This did not come from a page of the dashboard that is still open. Reload it and try again."
            return notice(request, 403, "Not done", text)
        except web.HTTPNotFound:
            return notice(request, 404, "Nothing here", "There is no such page, or no such order.")
        except (*DATABASE_UNAVAILABLE, asyncpg.PostgresError) as error:
            logger.warning("dashboard page not shown, database unavailable", path=route_path(request), error=error)
            text = "The database cannot be reached just now. Orders that were accepted are safe in it."
            return notice(request, 503, "One moment", text)
        self._access.attach_new_session(request, response)
        return response


async def _redirect_without_slash(request: web.Request) -> web.Response:
    raise web.HTTPPermanentRedirect(PATH)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    # Pages are never cached. Static files are revalidated each time, and mostly answered with 304.
    static = request.path.startswith(f"{PATH}/static/")
    response.headers.setdefault("Cache-Control", "no-cache" if static else "no-store")
