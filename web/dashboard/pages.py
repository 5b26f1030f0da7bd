"""The pages: what is live, the list of orders, one order's story, and the door."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

import aiohttp_jinja2
from aiohttp import web
from loguru import logger

from services.admin.dashboard_auth import Door, NotLetIn, Session
from services.dispatch import Dispatcher
from services.jobs.routing import MODES
from storage.reports.job_detail import search_jobs
from web.dashboard.access import Access
from web.dashboard.formatting import service_names
from web.dashboard.order_detail import Story, read_story
from web.dashboard.search import PAGE, STATES, read_search

CLOSED = {
    "forged": "This is not one of our links, or it lost a piece on its way.",
    "used": "This link has been used. Each opens the dashboard once.",
    "expired": "This has run out. A link is good for ten minutes, a visit for twelve hours.",
    "no_admin": "Only admins of this bot may look at the dashboard.",
    "no_session": "The dashboard opens with a link that the bot gives to its admins.",
}


class Pages:
    def __init__(self, dispatcher: Dispatcher, door: Door, access: Access) -> None:
        self._dispatcher = dispatcher
        self._door = door
        self._access = access
        self._names = service_names(dispatcher.studio.texts)

    async def live(self, request: web.Request) -> web.Response:
        session = self._access.admit(request)
        plans = self._dispatcher.plans
        own = {service: plans.own_mode(service) for service in self._names}
        return self._render(request, "dashboard.html", session, mode=plans.general_mode, own=own, modes=MODES)

    async def jobs(self, request: web.Request) -> web.Response:
        """The list of orders, a page of it."""
        session = self._access.admit(request)
        asked = read_search(request.query)
        db = self._dispatcher.studio.db
        found = await search_jobs(db, asked.search, limit=PAGE + 1) if asked.search else []
        jobs, more = found[:PAGE], len(found) > PAGE
        older = asked.page_after(jobs[-1]) if more else ""
        first = not (asked.search and asked.search.older_than)
        shown: dict[str, Any] = {"jobs": jobs, "asked": asked, "older": older, "first": first, "states": STATES}
        return self._render(request, "dashboard_jobs.html", session, **shown)

    async def job(self, request: web.Request) -> web.Response:
        session = self._access.admit(request)
        return await self.show_job(request, session, job_id_in(request), done=request.query.get("done", ""))

    async def show_job(
        self, request: web.Request, session: Session, job_id: UUID, *, status: int = 200, **more: Any
    ) -> web.Response:
        """The story, with a word about an action on it. Raises HTTPNotFound."""
        story = await read_story(self._dispatcher.studio, job_id)
        if story is None:
            raise web.HTTPNotFound
        return self._render(request, "dashboard_job.html", session, status=status, **_story(story), **more)

    async def enter(self, request: web.Request) -> web.Response:
        """The door, with a button. Looking at a link does not use it up: Telegram's preview looks as well."""
        token = request.match_info["token"]
        await self._door.check_link(token)
        return self._render(request, "dashboard_enter.html", None)

    async def come_in(self, request: web.Request) -> web.Response:
        """Use the link up, and give the browser its session."""
        self._access.check_origin(request)
        session = await self._door.use_link(request.match_info["token"])
        logger.info("admin {} has opened the dashboard", session.admin_id)
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/dashboard"})
        self._access.set_cookie(response, session)
        return response

    def closed(self, request: web.Request, why: NotLetIn) -> web.Response:
        return self.notice(request, HTTPStatus.FORBIDDEN, "The door is closed", CLOSED[why.reason], ask_bot=True)

    def notice(
        self, request: web.Request, status: int, title: str, words: str, *, ask_bot: bool = False
    ) -> web.Response:
        """A page that says one thing; JSON for our own scripts."""
        if "application/json" in request.headers.get("Accept", ""):
            return web.json_response({"said": words}, status=status)
        return self._render(
            request, "dashboard_notice.html", None, status=status, title=title, words=words, ask_bot=ask_bot
        )

    def _render(
        self, request: web.Request, template: str, session: Session | None, *, status: int = 200, **more: Any
    ) -> web.Response:
        token = self._door.action_token(session) if session else ""
        context = {"session": session, "action_token": token, "names": self._names, "path": request.path, **more}
        return aiohttp_jinja2.render_template(template, request, context, status=status)


def job_id_in(request: web.Request) -> UUID:
    """Raises HTTPNotFound."""
    try:
        return UUID(request.match_info["job"])
    except ValueError:
        raise web.HTTPNotFound from None


def _story(story: Story) -> dict[str, Any]:
    return {"story": story, "job": story.job, "facts": story.facts}
