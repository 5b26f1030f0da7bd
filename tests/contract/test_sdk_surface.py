"""The SDK's insides that ``inngest_functions/serve.py`` stands on. An upgrade that moves them fails here first."""

import ast
import enum
import hashlib
import inspect
import json
import logging
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import inngest
import inngest.fast_api
import pytest
from inngest._internal import comm_lib, config_lib, const, server_lib, transforms

from inngest_functions import serve as adapter

ROOT = Path(__file__).resolve().parents[2]
FAST_API_SHA256 = "24cb961cc0a47749d6e4943aea75a215190fddc519e0486c88eeafbd7d3d1217"
"""Of the SDK's own adapter, which ours mirrors. Where it changes: read it again, and ours with it."""


def test_the_sdk_is_the_one_that_was_read() -> None:
    assert version("inngest") == const.VERSION == "0.5.19"
    pinned = re.findall(r"^inngest(?:\[\w+\])?==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned == [const.VERSION]


def test_the_adapter_that_ours_mirrors_is_the_one_that_was_read() -> None:
    source = Path(inspect.getfile(inngest.fast_api)).read_bytes()
    assert hashlib.sha256(source).hexdigest() == FAST_API_SHA256


def test_our_signature_is_the_sdks_own() -> None:
    ours, theirs = (inspect.signature(serve).parameters for serve in (adapter.serve, inngest.fast_api.serve))
    assert list(ours) == list(theirs)
    for name in ours:
        assert (ours[name].kind, ours[name].default) == (theirs[name].kind, theirs[name].default)


def test_no_other_inside_of_the_sdk_is_used() -> None:
    tree = ast.parse(Path(inspect.getfile(adapter)).read_text())
    imported = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "inngest._internal"
        for name in node.names
    }
    used = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported
    }
    assert used == {
        "comm_lib.CommHandler",
        "comm_lib.CommRequest",
        "comm_lib.CommResponse",
        "config_lib.get_serve_path",
        "const.DEFAULT_SERVE_PATH",
        "const.Streaming",
        "server_lib.Framework",
        "transforms.dump_json",
    }


def test_nothing_of_the_project_is_used() -> None:
    tree = ast.parse(Path(inspect.getfile(adapter)).read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {module.partition(".")[0] for module in modules} == {
        *("aiohttp", "inngest"),
        *("collections", "contextlib", "json", "typing"),
    }
    assert len(Path(inspect.getfile(adapter)).read_text().splitlines()) < 150


def test_comm_handler() -> None:
    parameters = inspect.signature(comm_lib.CommHandler.__init__).parameters
    assert set(parameters) == {"self", "client", "enable_unauthed_sync", "framework", "functions", "streaming"}
    assert inspect.iscoroutinefunction(comm_lib.CommHandler.post)
    assert inspect.iscoroutinefunction(comm_lib.CommHandler.put)
    assert not inspect.iscoroutinefunction(comm_lib.CommHandler.get_sync)
    for method in (comm_lib.CommHandler.post, comm_lib.CommHandler.put, comm_lib.CommHandler.get_sync):
        assert list(inspect.signature(method).parameters) == ["self", "req"]


def test_comm_request() -> None:
    required = {name for name, field in comm_lib.CommRequest.model_fields.items() if field.is_required()}
    assert required == {
        "body",
        "headers",
        "public_path",
        "query_params",
        "raw_request",
        "request_url",
        "serve_origin",
        "serve_path",
    }


def test_comm_response() -> None:
    answer = comm_lib.CommResponse(body={"a": 1}, headers={"h": "v"}, status_code=206)
    assert (answer.body, answer.headers, answer.status_code, answer.stream) == ({"a": 1}, {"h": "v"}, 206, None)
    error = comm_lib.CommResponse.from_error(logging.getLogger("surface"), ValueError("v"))
    assert (error.status_code, error.headers["content-type"]) == (500, "application/json")
    assert json.dumps(error.body)


def test_the_rest() -> None:
    assert config_lib.get_serve_path("/p") == "/p"
    assert const.DEFAULT_SERVE_PATH == "/api/inngest"
    assert transforms.dump_json({"a": "ü"}) == '{"a": "\\u00fc"}'
    assert isinstance(transforms.dump_json(object()), Exception)
    assert {member.value for member in const.Streaming} == {"disable", "force"}
    assert server_lib.Framework.FAST_API.value == "fast_api"
    assert "aiohttp" not in {member.value for member in server_lib.Framework}, "the SDK has its own adapter now"


SURFACE: list[Callable[[], None]] = [
    test_the_sdk_is_the_one_that_was_read,
    test_our_signature_is_the_sdks_own,
    test_comm_handler,
    test_comm_request,
    test_comm_response,
    test_the_rest,
]


class _ExtendedRequest(comm_lib.CommRequest):
    tenant: str


class _OtherResponse(comm_lib.CommResponse):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.stream = given.get("body")


class _Streaming(enum.Enum):
    DISABLE = "disable"
    FORCE = "force"
    ALLOW = "allow"


class _Framework(enum.Enum):
    FAST_API = "fast_api"
    AIOHTTP = "aiohttp"


def _with_more(self: object, *, client: object, functions: object) -> None: ...


def _with_context(self: object, req: object, context: object) -> None: ...


def _serve_with_more(app: object, client: object, functions: object, *, timeout: int) -> None: ...


SDK_CHANGES: dict[str, tuple[object, str, object]] = {
    "another version": (const, "VERSION", "0.6.0"),
    "the handler is made of other things": (comm_lib.CommHandler, "__init__", _with_more),
    "post is not async": (comm_lib.CommHandler, "post", comm_lib.CommHandler.get_sync),
    "put takes more": (comm_lib.CommHandler, "put", _with_context),
    "get is async": (comm_lib.CommHandler, "get_sync", comm_lib.CommHandler.post),
    "a request must say more": (comm_lib, "CommRequest", _ExtendedRequest),
    "a response streams otherwise": (comm_lib, "CommResponse", _OtherResponse),
    "errors are formed otherwise": (comm_lib.CommResponse, "from_error", lambda *_: comm_lib.CommResponse()),
    "the path comes from elsewhere": (config_lib, "get_serve_path", lambda _: None),
    "the path is another": (const, "DEFAULT_SERVE_PATH", "/inngest"),
    "JSON is written otherwise": (transforms, "dump_json", lambda value: json.dumps(value, default=str)),
    "streaming has more ways": (const, "Streaming", _Streaming),
    "the SDK knows aiohttp": (server_lib, "Framework", _Framework),
    "the SDK's adapters take more": (inngest.fast_api, "serve", _serve_with_more),
}


@pytest.mark.parametrize("move", SDK_CHANGES)
def test_a_move_is_noticed(monkeypatch: pytest.MonkeyPatch, move: str) -> None:
    """The tests above hold now, and one of them fails for every move."""
    assert _failing() == []
    where, name, other = SDK_CHANGES[move]
    monkeypatch.setattr(where, name, other)
    assert _failing(), move


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (comm_lib, "CommHandler"),
        (comm_lib, "CommRequest"),
        (comm_lib, "CommResponse"),
        (config_lib, "get_serve_path"),
        (const, "DEFAULT_SERVE_PATH"),
        (const, "Streaming"),
        (server_lib, "Framework"),
        (transforms, "dump_json"),
    ],
)
def test_what_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> None:
    monkeypatch.delattr(where, name)
    assert _failing(), name


def _failing() -> list[str]:
    failed = []
    for test in SURFACE:
        try:
            test()
        except (AssertionError, AttributeError, TypeError, KeyError):
            failed.append(test.__name__)
    return failed
