"""The session cookie: nothing but the one that was given to an admin opens the dashboard."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.admin import dashboard_auth as dashboard_auth_module
from services.admin.dashboard_auth import AccessDenied, DashboardAuth, Session
from storage.pool import Pool
from tests.support.environments.dashboard import (
    ADMIN,
    PUBLIC_URL,
    DashboardApp,
    auth_without_admins,
    open_dashboard_app,
)

OTHER_ADMIN, USER = 8, 9
PAGES = ("/dashboard", "/dashboard/jobs", f"/dashboard/jobs/{'0' * 32}", "/dashboard/stream")


@pytest.fixture
async def dashboard_app(db: Pool, tmp_path: Path) -> AsyncIterator[DashboardApp]:
    admins = frozenset({ADMIN, OTHER_ADMIN})
    async with open_dashboard_app(db, tmp_path, admins=admins) as dashboard_app:
        yield dashboard_app


async def assert_refused(dashboard_app: DashboardApp, cookie: str) -> None:
    """Every page is refused with this cookie, and gives no other."""
    dashboard_app.cookie = cookie
    for path in PAGES:
        answer = await dashboard_app.get(path)
        assert (answer.status, answer.cookies) == (403, {}), path


@dataclass(frozen=True)
class CookieParts:
    """A session's cookie in its parts."""

    admin: int
    end: int
    nonce: str
    signature: str

    @classmethod
    def of(cls, session: Session) -> "CookieParts":
        admin, end, nonce, signature = session.cookie.split(".")
        return cls(int(admin), int(end), nonce, signature)

    @property
    def signed(self) -> str:
        return f"{self.admin}.{self.end}.{self.nonce}"

    def join(self) -> str:
        return f"{self.signed}.{self.signature}"


def _signature_of_an_action(auth: DashboardAuth, good: CookieParts) -> CookieParts:
    token = auth.action_token(Session(good.admin, good.end, good.signed))
    return replace(good, signature=token)


FORGERIES: dict[str, Callable[[DashboardAuth, CookieParts], CookieParts]] = {
    "another admin": lambda auth, good: replace(good, admin=OTHER_ADMIN),
    "a later end": lambda auth, good: replace(good, end=good.end + 3600),
    "another nonce": lambda auth, good: replace(good, nonce="0" * len(good.nonce)),
    "no signature": lambda auth, good: replace(good, signature=""),
    "half the signature": lambda auth, good: replace(good, signature=good.signature[:16]),
    "one digit of the signature": lambda auth, good: replace(
        good, signature=f"{good.signature[:-1]}{int(good.signature[-1], 16) ^ 1:x}"
    ),
    "the signature of another session": lambda auth, good: replace(
        good, signature=CookieParts.of(auth.start_session(ADMIN)).signature
    ),
    "the signature of an action": _signature_of_an_action,
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_well_formed_cookie_with_one_forged_part_is_refused(
    dashboard_app: DashboardApp, forgery: str
) -> None:
    """It names an admin, has not expired and has the right form: nothing but its signature gives it away."""
    good = CookieParts.of(dashboard_app.auth.start_session(ADMIN))
    cookie = FORGERIES[forgery](dashboard_app.auth, good).join()
    assert cookie != good.join()
    await assert_refused(dashboard_app, cookie)
    with pytest.raises(AccessDenied, match="forged"):
        dashboard_app.auth.read_session(cookie)


async def test_cookie_signed_with_another_bots_token_is_refused(dashboard_app: DashboardApp, db: Pool) -> None:
    other = DashboardAuth(db, frozenset({ADMIN}), b"1:another", PUBLIC_URL)
    await assert_refused(dashboard_app, other.start_session(ADMIN).cookie)


@pytest.mark.parametrize("cookie", ["", "x", "..", "7.99999999999.x.y"])
async def test_malformed_cookie_is_refused(dashboard_app: DashboardApp, cookie: str) -> None:
    await assert_refused(dashboard_app, cookie)


async def test_cookie_with_invalid_utf8_is_refused(dashboard_app: DashboardApp) -> None:
    with pytest.raises(AccessDenied, match="forged"):
        dashboard_app.auth.read_session("\udcff.x")  # how it arrives


async def test_valid_cookie_of_someone_who_is_no_admin_is_refused(dashboard_app: DashboardApp) -> None:
    await assert_refused(dashboard_app, dashboard_app.auth.start_session(USER).cookie)


async def test_expired_cookie_is_refused(dashboard_app: DashboardApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_auth_module, "SESSION_SECONDS", 0)
    await assert_refused(dashboard_app, dashboard_app.auth.start_session(ADMIN).cookie)


async def test_former_admin_is_refused_at_once(dashboard_app: DashboardApp) -> None:
    await dashboard_app.login()
    assert (await dashboard_app.get("/dashboard")).status == 200
    with pytest.raises(AccessDenied, match="no_admin"):
        auth_without_admins(dashboard_app).read_session(dashboard_app.cookie)
    link = await dashboard_app.auth.create_link(ADMIN)
    with pytest.raises(AccessDenied, match="no_admin"):
        await auth_without_admins(dashboard_app).login(link.rpartition("/")[2])
