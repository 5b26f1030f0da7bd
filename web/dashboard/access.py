"""Who gets in: the cookie of a session, the token of an action, and the sandbox's open door on this machine."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from loguru import logger

from services.admin.dashboard_auth import SESSION_SECONDS, AccessDenied, DashboardAuth, Session

COOKIE = "diptych_dashboard"
PATH = "/dashboard"
TOKEN_FIELD = "action_token"  # noqa: S105 - the field's name
TOKEN_HEADER = "X-Action-Token"  # noqa: S105 - the header's name
_NEW_SESSION = web.RequestKey("new_session", Session)
_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class ActionRefused(Exception):
    """A changing request that does not come from our own page."""


class Access:
    """`open_to` is the admin whom a caller on this machine counts as without a link; None where there is no such
    door: it belongs to the sandbox, and to a process that listens on loopback alone."""

    def __init__(self, auth: DashboardAuth, *, anonymous_admin_id: int | None = None) -> None:
        self._auth = auth
        self._anonymous_admin_id = anonymous_admin_id

    def authenticate(self, request: web.Request) -> Session:
        """The session of whoever asks. Raises NotLetIn."""
        try:
            return self._auth.read_session(request.cookies.get(COOKIE, ""))
        except AccessDenied:
            if self._anonymous_admin_id is None or not _from_this_machine(request):
                raise
        session = request[_NEW_SESSION] = self._auth.start_session(self._anonymous_admin_id)
        return session

    async def authenticate_action(self, request: web.Request) -> Session:
        """The session of a changing request of our own page's. Raises NotLetIn, ActionRefused."""
        session = self.authenticate(request)
        self.check_origin(request)
        token = request.headers.get(TOKEN_HEADER) or (await request.post()).get(TOKEN_FIELD, "")
        if not self._auth.is_valid_action_token(session, str(token)):
            logger.warning(
                "admin {}: an action without its token was refused: {}", session.admin_id, route_path(request)
            )
            raise ActionRefused("token")
        return session

    def check_origin(self, request: web.Request) -> None:
        """Browsers say where a request comes from; another site's is refused. Raises ActionRefused."""
        origin = request.headers.get("Origin")
        allowed = {request.host, _authority(self._auth.url)}
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none") or (
            origin is not None and _authority(origin) not in allowed
        ):
            logger.warning("an action from another site was refused: {}", route_path(request))
            raise ActionRefused("origin")

    def attach_new_session(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give the browser the session that the sandbox's open door has begun."""
        session = request.get(_NEW_SESSION)
        if session is not None and not response.prepared:
            self.set_cookie(response, session)

    def set_cookie(self, response: web.StreamResponse, session: Session) -> None:
        """Lax, not Strict: one comes from Telegram's chat, and Strict would leave the cookie at home."""
        response.set_cookie(
            COOKIE,
            session.cookie,
            max_age=SESSION_SECONDS,
            path=PATH,
            httponly=True,
            samesite="Lax",
            secure=self._auth.url.startswith("https://"),
        )

    def forget_cookie(self, response: web.StreamResponse) -> None:
        response.del_cookie(COOKIE, path=PATH)


def route_path(request: web.Request) -> str:
    """The path as its route has it, for the log: one of them holds a link's token."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "no place of ours"


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _authority(url: str) -> str:
    """Host and port; empty for what is no address."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _from_this_machine(request: web.Request) -> bool:
    """Both ends are on this machine, and no proxy stands between. The Host header is looked at as well: a name of
    somebody else's that leads to 127.0.0.1 (DNS rebinding) would let their page read ours."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    host = re.sub(r":\d+$", "", request.host).strip("[]")
    forwarded = any(name in request.headers for name in _PROXY_HEADERS)
    caller = str(peer[0]) if peer else ""
    return is_loopback(caller) and is_loopback(host) and not forwarded
