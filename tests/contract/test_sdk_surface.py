"""The SDK internals that ``inngest_functions/serve.py`` depends on. An upgrade that changes them fails here first."""

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
"""Hash of the SDK's own adapter, which ours mirrors. If it changes, review both."""


def test_sdk_has_the_reviewed_version() -> None:
    assert version("inngest") == const.VERSION == "0.5.19"
    pinned = re.findall(r"^inngest(?:\[\w+\])?==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned == [const.VERSION]


def test_fast_api_adapter_is_the_reviewed_one() -> None:
    source = Path(inspect.getfile(inngest.fast_api)).read_bytes()
    assert hashlib.sha256(source).hexdigest() == FAST_API_SHA256


def test_serve_has_the_signature_of_the_sdk() -> None:
    ours, theirs = (inspect.signature(serve).parameters for serve in (adapter.serve, inngest.fast_api.serve))
    assert list(ours) == list(theirs)
    for name in ours:
        assert (ours[name].kind, ours[name].default) == (theirs[name].kind, theirs[name].default)


def test_adapter_uses_only_the_listed_sdk_internals() -> None:
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


def test_adapter_imports_nothing_of_the_project() -> None:
    tree = ast.parse(Path(inspect.getfile(adapter)).read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {module.partition(".")[0] for module in modules} == {
        *("aiohttp", "inngest"),
        *("collections", "contextlib", "json", "typing"),
    }
    assert len(Path(inspect.getfile(adapter)).read_text().splitlines()) < 150


def test_comm_handler_has_the_expected_methods() -> None:
    parameters = inspect.signature(comm_lib.CommHandler.__init__).parameters
    assert set(parameters) == {"self", "client", "enable_unauthed_sync", "framework", "functions", "streaming"}
    assert inspect.iscoroutinefunction(comm_lib.CommHandler.post)
    assert inspect.iscoroutinefunction(comm_lib.CommHandler.put)
    assert not inspect.iscoroutinefunction(comm_lib.CommHandler.get_sync)
    for method in (comm_lib.CommHandler.post, comm_lib.CommHandler.put, comm_lib.CommHandler.get_sync):
        assert list(inspect.signature(method).parameters) == ["self", "req"]


def test_comm_request_has_the_expected_fields() -> None:
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


def test_comm_response_has_the_expected_fields() -> None:
    answer = comm_lib.CommResponse(body={"a": 1}, headers={"h": "v"}, status_code=206)
    assert (answer.body, answer.headers, answer.status_code, answer.stream) == ({"a": 1}, {"h": "v"}, 206, None)
    error = comm_lib.CommResponse.from_error(logging.getLogger("surface"), ValueError("v"))
    assert (error.status_code, error.headers["content-type"]) == (500, "application/json")
    assert json.dumps(error.body)


def test_other_sdk_internals_are_as_expected() -> None:
    assert config_lib.get_serve_path("/p") == "/p"
    assert const.DEFAULT_SERVE_PATH == "/api/inngest"
    assert transforms.dump_json({"a": "ü"}) == '{"a": "\\u00fc"}'
    assert isinstance(transforms.dump_json(object()), Exception)
    assert {member.value for member in const.Streaming} == {"disable", "force"}
    assert server_lib.Framework.FAST_API.value == "fast_api"
    assert "aiohttp" not in {member.value for member in server_lib.Framework}, "the SDK has its own adapter now"


SURFACE: list[Callable[[], None]] = [
    test_sdk_has_the_reviewed_version,
    test_serve_has_the_signature_of_the_sdk,
    test_comm_handler_has_the_expected_methods,
    test_comm_request_has_the_expected_fields,
    test_comm_response_has_the_expected_fields,
    test_other_sdk_internals_are_as_expected,
]


class _ExtendedRequest(comm_lib.CommRequest):
    tenant: str


class _OtherResponse(comm_lib.CommResponse):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.stream = arguments.get("body")


class _Streaming(enum.Enum):
    DISABLE = "disable"
    FORCE = "force"
    ALLOW = "allow"


class _Framework(enum.Enum):
    FAST_API = "fast_api"
    AIOHTTP = "aiohttp"


def _with_fewer_arguments(self: object, *, client: object, functions: object) -> None: ...


def _with_context(self: object, req: object, context: object) -> None: ...


def _serve_with_timeout(app: object, client: object, functions: object, *, timeout: int) -> None: ...


SDK_CHANGES: dict[str, tuple[object, str, object]] = {
    "another version": (const, "VERSION", "0.6.0"),
    "the handler takes other arguments": (comm_lib.CommHandler, "__init__", _with_fewer_arguments),
    "post is not async": (comm_lib.CommHandler, "post", comm_lib.CommHandler.get_sync),
    "put takes another argument": (comm_lib.CommHandler, "put", _with_context),
    "get is async": (comm_lib.CommHandler, "get_sync", comm_lib.CommHandler.post),
    "a request has another required field": (comm_lib, "CommRequest", _ExtendedRequest),
    "a response streams differently": (comm_lib, "CommResponse", _OtherResponse),
    "errors are built differently": (comm_lib.CommResponse, "from_error", lambda *_: comm_lib.CommResponse()),
    "the given path is ignored": (config_lib, "get_serve_path", lambda _: None),
    "the default path is different": (const, "DEFAULT_SERVE_PATH", "/inngest"),
    "JSON is dumped differently": (transforms, "dump_json", lambda value: json.dumps(value, default=str)),
    "streaming has another mode": (const, "Streaming", _Streaming),
    "the SDK has an aiohttp adapter": (server_lib, "Framework", _Framework),
    "serve takes another argument": (inngest.fast_api, "serve", _serve_with_timeout),
}


@pytest.mark.parametrize("change", SDK_CHANGES)
def test_sdk_change_is_detected(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """The tests above pass now, and at least one of them fails after each change."""
    assert _failing() == []
    where, name, other = SDK_CHANGES[change]
    monkeypatch.setattr(where, name, other)
    assert _failing(), change


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
def test_missing_sdk_internal_is_detected(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> None:
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
