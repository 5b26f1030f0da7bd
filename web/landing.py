"""`/`: a page with links to everything that this process serves, for developers."""

from pathlib import Path

import aiohttp_jinja2
import jinja2
from aiohttp import web

_TEMPLATES = Path(__file__).with_name("templates")


class Landing:
    """The page of links.

    Args:
        sandbox: Whether this process serves the sandbox's chat page, and the dashboard without a login.
        inngest_url: The URL of Inngest's own pages; None if there are none.
    """

    def __init__(self, *, sandbox: bool, inngest_url: str | None) -> None:
        self._sandbox = sandbox
        self._inngest_url = inngest_url

    def add_routes(self, app: web.Application) -> None:
        """Add the page to the web application, at `/`."""
        aiohttp_jinja2.setup(app, loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
        app.router.add_get("/", self._page)

    @aiohttp_jinja2.template("landing.html")
    async def _page(self, request: web.Request) -> dict[str, object]:
        """Links to what this process serves."""
        return {"sandbox": self._sandbox, "inngest_url": self._inngest_url if self._sandbox else None}
