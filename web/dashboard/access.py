"""Access control: session cookies, action tokens, and in the sandbox access from this machine without a login."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from loguru import logger

from services.admin.dashboard_auth import SESSION_SECONDS, AccessDenied, DashboardAuth, Session

COOKIE: Final = "diptych_dashboard"
PATH: Final = "/dashboard"
_TOKEN_FIELD: Final = "action_token"  # noqa: S105 - the field's name
_TOKEN_HEADER: Final = "X-Action-Token"  # noqa: S105 - the header's name
_NEW_SESSION: Final = web.RequestKey("new_session", Session)
_PROXY_HEADERS: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class ActionRefused(Exception):
    """A request to change something did not come from our own pages."""


class Access:
    """Authenticates requests.

    Args:
        auth: Checks sessions and tokens.
        anonymous_admin_id: The admin that a client on this machine counts as without a login; None if a login is
            always required. Set only for the sandbox, in a process that listens on loopback only.
    """

    def __init__(self, auth: DashboardAuth, *, anonymous_admin_id: int | None = None) -> None:
        self._auth = auth
        self._anonymous_admin_id = anonymous_admin_id

    def authenticate(self, request: web.Request) -> Session:
        """The session of a request.

        Raises:
            AccessDenied: The request has no valid session.
        """
        try:
            return self._auth.read_session(request.cookies.get(COOKIE, ""))
        except AccessDenied:
            if self._anonymous_admin_id is None or not _is_from_this_machine(request):
                raise
        session = request[_NEW_SESSION] = self._auth.start_session(self._anonymous_admin_id)
        return session

    async def authenticate_action(self, request: web.Request) -> Session:
        """The session of a request that changes something.

        Raises:
            AccessDenied: The request has no valid session.
            ActionRefused: It does not come from our own pages.
        """
        session = self.authenticate(request)
        self.check_origin(request)
        token = request.headers.get(_TOKEN_HEADER) or (await request.post()).get(_TOKEN_FIELD, "")
        if not self._auth.is_valid_action_token(session, str(token)):
            logger.warning(
                "dashboard action refused",
                admin=session.admin_id,
                path=route_path(request),
                reason="no valid token",
            )
            raise ActionRefused("token")
        return session

    def check_origin(self, request: web.Request) -> None:
        """Refuse a request made by another site, according to the headers that browsers send.

        Raises:
            ActionRefused: The request comes from another site.
        """
        origin = request.headers.get("Origin")
        allowed = {request.host, _authority(self._auth.url)}
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none") or (
            origin is not None and _authority(origin) not in allowed
        ):
            logger.warning("dashboard action refused", path=route_path(request), reason="from another site")
            raise ActionRefused("origin")

    def attach_new_session(self, request: web.Request, response: web.StreamResponse) -> None:
        """If `authenticate` has started a session without a login, set its cookie."""
        session = request.get(_NEW_SESSION)
        if session is not None and not response.prepared:
            self.set_cookie(response, session)

    def set_cookie(self, response: web.StreamResponse, session: Session) -> None:
        """Set the session cookie.

        The cookie is Lax, because browsers do not send a Strict one to an admin who follows a link from Telegram.
        """
        response.set_cookie(
            COOKIE,
            session.cookie,
            max_age=SESSION_SECONDS,
            path=PATH,
            httponly=True,
            samesite="Lax",
            secure=self._auth.url.startswith("https://"),
        )

    def delete_cookie(self, response: web.StreamResponse) -> None:
        """Delete the session cookie."""
        response.del_cookie(COOKIE, path=PATH)


def route_path(request: web.Request) -> str:
    """The path of the request's route, for the log: the real path may contain a link's token."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown path"


def is_loopback(host: str) -> bool:
    """Whether a host name or an address is a loopback one."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _authority(url: str) -> str:
    """The host and port of a URL; empty if it is invalid."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _is_from_this_machine(request: web.Request) -> bool:
    """Whether the client is on this machine, without a proxy in between.

    The Host header must be a loopback name too. Otherwise a page of another site whose name resolves to 127.0.0.1
    (DNS rebinding) could read ours.
    """
    peer = request.transport.get_extra_info("peername") if request.transport else None
    host = re.sub(r":\d+$", "", request.host).strip("[]")
    forwarded = any(name in request.headers for name in _PROXY_HEADERS)
    caller = str(peer[0]) if peer else ""
    return is_loopback(caller) and is_loopback(host) and not forwarded
