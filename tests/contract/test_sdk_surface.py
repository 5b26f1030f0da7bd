"""The SDK's insides that ``inngest_functions/serve.py`` stands on. An upgrade that moves them fails here first."""

import inspect
from importlib.metadata import version
from pathlib import Path

import inngest
from inngest._internal import comm_lib, config_lib, const, server_lib, transforms

from inngest_functions.serve import serve


def test_the_sdk_is_the_one_that_was_read() -> None:
    assert version("inngest") == const.VERSION == "0.5.19"


def test_comm_handler() -> None:
    parameters = inspect.signature(comm_lib.CommHandler.__init__).parameters
    assert set(parameters) == {"self", "client", "enable_unauthed_sync", "framework", "functions", "streaming"}
    assert inspect.iscoroutinefunction(comm_lib.CommHandler.post)
    assert inspect.iscoroutinefunction(comm_lib.CommHandler.put)
    assert not inspect.iscoroutinefunction(comm_lib.CommHandler.get_sync)


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
    error = comm_lib.CommResponse.from_error(
        inngest.Inngest(app_id="x", is_production=False).logger, ValueError("v")
    )
    assert (error.status_code, error.headers["content-type"]) == (500, "application/json")


def test_the_rest() -> None:
    assert config_lib.get_serve_path("/p") == "/p"
    assert const.DEFAULT_SERVE_PATH == "/api/inngest"
    assert isinstance(transforms.dump_json(object()), Exception)
    assert {member.value for member in const.Streaming} == {"disable", "force"}
    assert server_lib.Framework.FAST_API.value == "fast_api"
    assert "aiohttp" not in {member.value for member in server_lib.Framework}, "the SDK has its own adapter now"


def test_our_signature_is_the_sdks_own() -> None:
    """FastAPI is not installed here, so its adapter is read, not run."""
    source = (Path(inngest.__file__).parent / "fast_api.py").read_text()
    ours = list(inspect.signature(serve).parameters)
    declared = source[source.index("def serve(") : source.index(") -> None:")]
    theirs = [line.split(":")[0].strip() for line in declared.splitlines()[1:] if ":" in line]
    assert ours == theirs
