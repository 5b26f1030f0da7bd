"""`/dashboard`: an application of its own inside the process, with its own headers and words for errors."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp_jinja2
import asyncpg
import jinja2
from aiohttp import web
from loguru import logger

from services.admin.admin_actions import Interventions
from services.admin.dashboard_auth import Door, NotLetIn
from services.dispatch import Dispatcher
from storage.pool import DATABASE_AWAY
from web.dashboard.access import PATH, Access, ActionRefused, is_loopback, place
from web.dashboard.actions import Actions
from web.dashboard.formatting import clock, lasting, stars
from web.dashboard.live_snapshot import Board, Health
from web.dashboard.pages import Pages
from web.dashboard.stream import Stream

_WEB = Path(__file__).resolve().parent.parent
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # not no-referrer: browsers would then send `Origin: null` with a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dashboard:
    """`sandbox_host` is the address that a sandbox's process listens on, None where there is no sandbox: on
    loopback the dashboard is open to whoever is on this machine."""

    def __init__(
        self, dispatcher: Dispatcher, door: Door, health: Health, *, sandbox_host: str | None = None
    ) -> None:
        admins = dispatcher.studio.admins
        here = sandbox_host is not None and is_loopback(sandbox_host)
        self._access = Access(door, open_to=min(admins) if here and admins else None)
        self._pages = Pages(dispatcher, door, self._access)
        self._actions = Actions(self._access, self._pages, dispatcher.plans, Interventions(dispatcher))
        self._stream = Stream(self._access, Board(dispatcher, health))

    def add_routes(self, app: web.Application) -> None:
        app.add_subapp(PATH, self._create())

    def _create(self) -> web.Application:
        app = web.Application(middlewares=[self._say_what_is_wrong])
        templates = jinja2.FileSystemLoader(_WEB / "templates")
        filters: dict[str, Callable[..., str]] = {"lasting": lasting, "clock": clock, "stars": stars}
        aiohttp_jinja2.setup(
            app, loader=templates, autoescape=True, filters=filters, trim_blocks=True, lstrip_blocks=True
        )
        pages, actions = self._pages, self._actions
        app.add_routes(
            [
                web.get("", pages.live),
                web.get("/", _without_slash),
                web.get("/stream", self._stream.watch),
                web.get("/enter/{token}", pages.enter),
                web.post("/enter/{token}", pages.come_in),
                web.post("/leave", actions.leave),
                web.post("/mode", actions.set_mode),
                web.get("/jobs", pages.jobs),
                web.get("/jobs/{job}", pages.job),
                web.post("/jobs/{job}/retry", actions.retry),
                web.post("/jobs/{job}/cancel", actions.cancel),
                web.post("/jobs/{job}/refund", actions.refund),
            ]
        )
        app.router.add_static("/static", _WEB / "static" / "dashboard")
        app.on_response_prepare.append(_add_headers)
        app.on_shutdown.append(self._stream.stop)
        return app

    @web.middleware
    async def _say_what_is_wrong(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        notice = self._pages.notice
        try:
            response = await handler(request)
        except NotLetIn as why:
            return self._pages.closed(request, why)
        except ActionRefused:
            words = "This did not come from a page of the dashboard that is still open. Reload it and try again."
            return notice(request, 403, "Not done", words)
        except web.HTTPNotFound:
            return notice(request, 404, "Nothing here", "There is no such page, or no such order.")
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            logger.warning("{} cannot be shown: {}", place(request), error)
            words = "The database cannot be reached just now. Orders that were accepted are safe in it."
            return notice(request, 503, "One moment", words)
        self._access.remember(request, response)
        return response


async def _without_slash(request: web.Request) -> web.Response:
    raise web.HTTPPermanentRedirect(PATH)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    # Pages are of this moment; files are asked for again, and mostly answered with 304.
    files = request.path.startswith(f"{PATH}/static/")
    response.headers.setdefault("Cache-Control", "no-cache" if files else "no-store")
