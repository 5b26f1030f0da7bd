"""Our aiohttp adapter beside the SDK's FastAPI adapter: the same requests get the same answers.

Only what belongs to the web server may differ: the text and the Allow header of a 405, the answer on other paths,
and that aiohttp answers 413 over MAX_BODY_BYTES, while FastAPI has no limit.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import inngest
import inngest.fast_api
import pytest
from aiohttp import web
from fastapi import FastAPI
from inngest._internal import const, errors, transforms

from inngest_functions.serve import serve
from tests.contract.adapter_pair import (
    EVENT_KEY,
    FALLBACK_KEY,
    FOREIGN_KEY,
    PATH,
    SIGNING_KEY,
    AdapterPair,
    call,
    create_functions,
    run_pair,
    signed,
)

SIGNATURE = "x-inngest-signature"
LONG_AGO = 1_000_000_000

CALLS = [
    (*call("one-step", text="four"), 206),
    (*call("one-step"), 206),
    (*call("plain"), 200),
    (*call("fails"), 500),
    (*call("fails", kind="never"), 500),
    (*call("fails", kind="retry-after"), 500),
    (*call("fails-failure"), 200),
    (*call("unreadable"), 500),
    (*call("thread"), 200),
    (call("none")[0], call("plain")[1], 500),
    (f"{PATH}?fnId=pair-one-step&stepId=another", call("one-step")[1], 500),
    (f"{PATH}?fnId=pair-plain", call("plain")[1], 200),
    (f"{PATH}?stepId=step", call("plain")[1], 500),
    (PATH, call("plain")[1], 500),
    (f"{PATH}?fnId=pair-none&fnId=pair-plain&stepId=&x=%F0%9F%94%91+y", call("plain")[1], 200),
    (f"{PATH}?fnId=pair-plain&stepId=step", b"{}", 500),
    (f"{PATH}?fnId=pair-plain&stepId=step", b'[1, "x"]', 500),
    (
        f"{PATH}?fnId=pair-plain&stepId=step",
        call("plain")[1].replace(b'"use_api": false', b'"use_api": true'),
        500,
    ),
    (f"{PATH}?probe=trust", b"", 200),
    (f"{PATH}?probe=other", b"", 500),
]
"""Path, body, and the expected status if the request is accepted."""


@pytest.fixture(scope="module")
async def dev() -> AsyncIterator[AdapterPair]:
    async with run_pair(production=False) as pair:
        yield pair


@pytest.fixture(scope="module")
async def production() -> AsyncIterator[AdapterPair]:
    async with run_pair(production=True, fallback_key=FALLBACK_KEY) as pair:
        yield pair


@pytest.mark.parametrize(("path", "body", "status"), CALLS)
async def test_calls_in_dev_mode_get_the_same_answer(
    dev: AdapterPair, path: str, body: bytes, status: int
) -> None:
    answer = await dev.assert_same("POST", path, body)
    assert answer.status == status
    assert answer.signature is None
    assert await dev.assert_same("POST", path, body, signed(body, FOREIGN_KEY)) == answer


@pytest.mark.parametrize(("path", "body", "status"), CALLS)
async def test_calls_in_production_get_the_same_answer(
    production: AdapterPair, path: str, body: bytes, status: int
) -> None:
    accepted = await production.assert_same("POST", path, body, signed(body))
    assert accepted.status == status
    assert accepted.headers["signed-with"] == SIGNING_KEY
    refused = await production.assert_same("POST", path, body)
    assert (refused.status, json.loads(refused.body)) == (401, {"message": "Unauthorized"})
    assert "x-inngest-sdk" not in refused.headers


async def test_wrong_signatures_are_refused(production: AdapterPair) -> None:
    path, body = call("plain")
    good = signed(body)[SIGNATURE]
    for wrong in (
        signed(body, FOREIGN_KEY)[SIGNATURE],
        signed(b'{"other": 1}')[SIGNATURE],
        good.replace("t=1", "t=2"),
        good.partition("&")[0],
        good.partition("&")[2],
        good.replace("t=", "t=x"),
        good[:-1],
        "nonsense",
        "s=",
    ):
        answer = await production.assert_same("POST", path, body, {SIGNATURE: wrong})
        assert (answer.status, json.loads(answer.body)) == (401, {"message": "Unauthorized"}), wrong
    for broken in (b"no json", b'{"ctx": ', b"\xff\xfe"):
        answer = await production.assert_same("POST", path, broken, {SIGNATURE: good})
        assert answer.status == 401


async def test_old_signature_is_accepted(production: AdapterPair) -> None:
    """The SDK accepts any signed timestamp (net._validate_sig of 0.5.19), under FastAPI as well."""
    path, body = call("plain")
    answer = await production.assert_same("POST", path, body, signed(body, at=LONG_AGO))
    assert answer.status == 200


async def test_fallback_key_is_accepted_and_signs_the_answer(production: AdapterPair) -> None:
    path, body = call("plain")
    answer = await production.assert_same("POST", path, body, signed(body, FALLBACK_KEY))
    assert (answer.status, answer.headers["signed-with"]) == (200, FALLBACK_KEY)
    async with run_pair(production=True) as pair:
        answer = await pair.assert_same("POST", path, body, signed(body, FALLBACK_KEY))
        assert answer.status == 401


@pytest.mark.parametrize("broken", [b"no json", b'{"ctx": ', b"", b"\xff\xfe"])
async def test_invalid_json_is_answered_with_500(dev: AdapterPair, broken: bytes) -> None:
    answer = await dev.assert_same("POST", call("plain")[0], broken)
    assert answer.status == 500


async def test_body_over_four_mebibytes_is_accepted(dev: AdapterPair, production: AdapterPair) -> None:
    path, body = call("one-step", text="x" * (4 * 1024 * 1024))
    for pair in (dev, production):
        answer = await pair.assert_same("POST", path, body, signed(body))
        assert answer.status == 206
        (step,) = json.loads(answer.body)
        assert step["data"] == str(4 * 1024 * 1024)


@pytest.mark.parametrize("kind", ["dev", "cloud", "other", None])
async def test_introspection_depends_on_server_kind_and_signature(
    dev: AdapterPair, production: AdapterPair, kind: str | None
) -> None:
    headers = {} if kind is None else {"x-inngest-server-kind": kind}
    for pair, right in ((dev, "dev"), (production, "cloud")):
        accepted = await pair.assert_same("GET", PATH, b"", signed(b"") | headers)
        assert accepted.status == (200 if kind in (right, "other", None) else 403)
        plain = await pair.assert_same("GET", PATH, b"", headers)
        assert plain.status == (401 if pair is production else accepted.status)


async def test_introspection_shows_no_secret(dev: AdapterPair, production: AdapterPair) -> None:
    shown = await production.assert_same("GET", PATH, b"", signed(b""))
    body = json.loads(shown.body)
    allowed = {
        "event_key_hash": transforms.hash_event_key(EVENT_KEY),
        "signing_key_hash": transforms.hash_signing_key(SIGNING_KEY),
        "signing_key_fallback_hash": transforms.hash_signing_key(FALLBACK_KEY),
    }
    assert {name: body[name] for name in allowed} == allowed
    texts = [shown.body, str(shown.headers | {"signed-with": ""})]
    unsigned = await production.assert_same("GET", PATH)
    texts += [unsigned.body, str(unsigned.headers), (await dev.assert_same("GET", PATH)).body]
    for secret in (EVENT_KEY, SIGNING_KEY, FALLBACK_KEY):
        bare = secret.removeprefix("signkey-test-")
        assert not [text for text in texts if bare in text]
    assert not [text for text in texts[1:] for digest in allowed.values() if digest in text]


async def test_sync_registers_the_same_functions(dev: AdapterPair, production: AdapterPair) -> None:
    for pair in (dev, production):
        for headers in ({}, signed(b""), {SIGNATURE: "nonsense"}):
            ours, theirs = await _registrations(pair, f"{PATH}?deployId=sync-7", headers)
            assert ours == theirs
            assert ours["query"] == {"deployId": "sync-7"}
            assert ours["body"]["framework"] == "fast_api"
            assert len(ours["body"]["functions"]) == 6
            bearer = f"Bearer {transforms.hash_signing_key(SIGNING_KEY)}"
            assert ours["headers"].get("authorization") == (bearer if pair is production else None)


async def test_sync_from_the_wrong_kind_of_server_is_refused(dev: AdapterPair, production: AdapterPair) -> None:
    assert (await dev.assert_same("PUT", PATH, b"", {"x-inngest-server-kind": "cloud"})).status == 400
    assert (await production.assert_same("PUT", PATH, b"", {"x-inngest-server-kind": "dev"})).status == 400


async def test_in_band_sync_needs_a_signature(dev: AdapterPair, production: AdapterPair) -> None:
    body = b'{"url": "https://example.com/api/inngest?x=1"}'
    in_band = {"x-inngest-sync-kind": "in_band"}
    accepted = await production.assert_same("PUT", PATH, body, in_band | signed(body))
    answer = json.loads(accepted.body)
    assert (accepted.status, accepted.headers["x-inngest-sync-kind"]) == (200, "in_band")
    assert (answer["url"], len(answer["functions"])) == ("https://example.com/api/inngest", 6)
    for refused in (in_band, in_band | signed(body, FOREIGN_KEY)):
        assert (await production.assert_same("PUT", PATH, body, refused)).status == 401
    empty = await production.assert_same("PUT", PATH, b"{}", in_band | signed(b"{}"))
    assert empty.status == 500
    assert (await dev.assert_same("PUT", PATH, body, in_band)).headers["x-inngest-sync-kind"] == "out_of_band"


async def test_sync_with_a_rotated_key_registers_with_the_fallback_key() -> None:
    async with run_pair(production=True, signing_key=FOREIGN_KEY, fallback_key=SIGNING_KEY) as pair:
        ours, theirs = await _registrations(pair, PATH)
        assert ours == theirs
        assert ours["headers"]["authorization"] == f"Bearer {transforms.hash_signing_key(SIGNING_KEY)}"


async def test_unsigned_sync_can_be_forbidden() -> None:
    async with run_pair(production=True, enable_unauthed_sync=False) as pair:
        assert (await pair.assert_same("PUT", PATH)).status == 401
        assert (await pair.assert_same("PUT", PATH, b"", signed(b""))).status == 200


async def test_registered_url_follows_the_serve_options() -> None:
    options = {
        "serve_origin": "https://bot.example.com",
        "serve_path": "/hooks/inngest",
        "public_path": "/outside",
    }
    async with run_pair(production=False, **options) as pair:
        assert (await pair.assert_same("GET", "/hooks/inngest")).status == 200
        ours, theirs = await _registrations(pair, "/hooks/inngest")
        assert ours == theirs
        assert ours["body"]["url"] == "https://bot.example.com/outside"


@pytest.mark.parametrize("is_production", [False, True])
async def test_streaming_gets_the_same_answer(is_production: bool) -> None:
    async with run_pair(production=is_production, streaming=const.Streaming.FORCE) as pair:
        for path, body, status in (CALLS[0], CALLS[2], CALLS[3], CALLS[7]):
            answer = await pair.assert_same("POST", path, body, signed(body))
            assert answer.status == 201
            assert json.loads(answer.body)["status"] == status
        for path, body, status in (CALLS[9], CALLS[8]):  # refused before the call, or not an async function
            answer = await pair.assert_same("POST", path, body, signed(body))
            assert answer.status == status
        path, body = call("plain")
        assert (await pair.assert_same("POST", path, body)).status == (401 if is_production else 201)
        assert (await pair.assert_same("GET", PATH)).status == (401 if is_production else 200)


async def test_other_methods_are_refused(dev: AdapterPair, production: AdapterPair) -> None:
    for pair in (dev, production):
        for method in ("HEAD", "DELETE", "PATCH", "OPTIONS"):
            ours, theirs = await pair.ask(method, PATH)
            assert ours.status == theirs.status == 405
            assert not [name for name in ours.headers if name.startswith("x-inngest")]


def test_production_without_a_signing_key_starts_with_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INNGEST_SIGNING_KEY", raising=False)
    client = inngest.Inngest(app_id="pair", is_production=True)
    with pytest.raises(errors.SigningKeyMissingError):
        serve(web.Application(), client, create_functions(client))
    with pytest.raises(errors.SigningKeyMissingError):
        inngest.fast_api.serve(FastAPI(), client, create_functions(client))


async def _registrations(pair: AdapterPair, path: str, headers: dict[str, str] | None = None) -> tuple[Any, Any]:
    """Return what each adapter registered, without its own origin."""
    pair.registered.clear()
    assert (await pair.assert_same("PUT", path, b"", headers or {})).status == 200
    assert len(pair.registered) == 2
    ours, theirs = (
        json.loads(json.dumps(registration).replace(origin, "<origin>"))
        for registration, origin in zip(pair.registered, (pair.ours, pair.theirs), strict=True)
    )
    return ours, theirs
