"""What a call costs: our aiohttp adapter against the SDK's FastAPI adapter, on the same function in the same run.

    python -m bench.serve [--seconds 10] [--connections 16] [--signed]

A call is one POST of Inngest that runs the one step of a function and responds 206 with its result: read the
request, validate it, run the step, respond. It includes all of the SDK's own work, on both sides, and with
``--signed`` also checking and making signatures.

Each server is its own process on one core, and this process calls from another; on a machine with one core they
share it. They take turns: aiohttp, FastAPI, FastAPI, aiohttp, …, one is warmed up and measured while the other
rests, so that other work on the machine affects both.

How to read it. ``calls/s`` is what one process handles under constant load; ``CPU ms`` is the user and system
time of its process per call. Both are medians over the rounds, with the smallest and the largest in brackets;
``ratio`` is the median of the rounds' ratios, ours to theirs. Needs Linux, and fastapi, uvicorn and httptools.
"""

import asyncio
import hashlib
import hmac
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jcs  # type: ignore[import-untyped]  # the SDK's own dependency
import uvloop

from bench.command_line import create_parser
from bench.cpu_time import cpu_of
from bench.http_load import call_repeatedly
from bench.serve_targets import APP_ID, FUNCTION, OURS, THEIRS
from tests.support.processes.bot_process import free_port
from tests.support.processes.orphans import kill_with_parent

ROOT = Path(__file__).resolve().parent.parent
_SIGNING_KEY = "ab" * 32
_MEASURE_SECONDS = 0.5
_MIN_ROUNDS = 4
_READY_SECONDS = 30.0
_EXPECTED = b'"data": "Hello, Ada!"'


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Measurement:
    """One measurement of one server."""

    calls: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    @property
    def ms(self) -> float:
        """CPU of the server's process per call, in milliseconds."""
        return self.cpu / self.calls * 1000


Rounds = dict[str, list[Measurement]]


def request_of(port: int, signing_key: str) -> bytes:
    """The bytes of a call as Inngest's executor sends it, for a run's first step."""
    order = {"service": "text_to_image", "price": 4, "sizes": ["1:1", "16:9"], "prompt": "a lighthouse in a storm"}
    data = {"name": "Ada", "user_id": 5001, "order": order}
    event = {"data": data, "id": "01M80F4H06TKZTYTH7NXV2CESD", "name": "bench/one-step", "ts": 1795312206342}
    context = {
        "attempt": 0,
        "disable_immediate_execution": False,
        "env": "",
        "fn_id": "fe59fc84-c8ce-5dfa-a54b-5d6468960306",
        "max_attempts": 4,
        "qi_id": "",
        "run_id": "01M80F4H2TG2R012Z641AXDH29",
        "stack": {"current": 0, "stack": []},
        "step_id": "step",
        "use_api": False,
    }
    body: bytes = jcs.canonicalize(
        {"ctx": context, "event": event, "events": [event], "steps": {}, "use_api": False, "version": 2}
    )
    headers = {
        "Host": f"127.0.0.1:{port}",
        "User-Agent": "Go-http-client/1.1",
        "Content-Length": str(len(body)),
        "Accept-Encoding": "gzip",
        "Content-Type": "application/json",
        "X-Inngest-Req-Version": "2",
        "X-Request-Id": "01M80F4H2VYW4G2Z0X1KQ0N0C7",
        "X-Run-Id": context["run_id"],
    }
    if signing_key:
        now = str(int(time.time())).encode()
        signature = hmac.new(signing_key.encode(), body + now, hashlib.sha256).hexdigest()
        headers["X-Inngest-Signature"] = f"t={now.decode()}&s={signature}"
    lines = [f"POST /api/inngest?fnId={APP_ID}-{FUNCTION}&stepId=step HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def running(name: str, core: int, signing_key: str, *, verbose: bool) -> Iterator[Server]:
    """Run the server; kill it at the end. With `verbose` its log is on standard error."""
    port = free_port()
    options = ["--port", str(port), "--core", str(core), "--signing-key", signing_key]
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.defpath}
    command = [sys.executable, "-m", "bench.serve_targets", name, *options]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=None if verbose else subprocess.DEVNULL,
        preexec_fn=kill_with_parent,  # noqa: PLW1509
    )
    try:
        yield Server(name, port, process)
    finally:
        process.kill()
        process.wait()


async def wait_until_ready(server: Server) -> None:
    """Wait until it listens. Raises RuntimeError when it ends instead."""
    async with asyncio.timeout(_READY_SECONDS):
        while not await _answers(server.port):
            if server.process.poll() is not None:
                raise RuntimeError(f"{server.name} does not start; --verbose shows its log")
            await asyncio.sleep(0.05)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def measure(server: Server, request: bytes, connections: int, seconds: float) -> Measurement:
    cpu, started_at = cpu_of(server.process.pid), time.monotonic()
    calls = await call_repeatedly(server.port, request, _EXPECTED, seconds, connections)
    took = time.monotonic() - started_at
    return Measurement(calls, took, cpu_of(server.process.pid) - cpu)


async def run(seconds: float, connections: int, signing_key: str, *, verbose: bool) -> Rounds:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    rounds: Rounds = {OURS: [], THEIRS: []}
    with (
        running(OURS, cores[-1], signing_key, verbose=verbose) as ours,
        running(THEIRS, cores[-1], signing_key, verbose=verbose) as theirs,
    ):
        requests = {server.name: request_of(server.port, signing_key) for server in (ours, theirs)}
        for server in (ours, theirs):
            await wait_until_ready(server)
            await measure(server, requests[server.name], connections, _MEASURE_SECONDS)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends or len(rounds[OURS]) < _MIN_ROUNDS:
            turn = (ours, theirs) if len(rounds[OURS]) % 2 == 0 else (theirs, ours)
            for server in turn:
                sample = await measure(server, requests[server.name], connections, _MEASURE_SECONDS)
                rounds[server.name].append(sample)
    return rounds


def report(rounds: Rounds) -> str:
    lines = [f"{'':<8} {'calls/s':>8} {'':<16} {'CPU ms':>7}"]
    for name, samples in rounds.items():
        rates, costs = [sample.rate for sample in samples], [sample.ms for sample in samples]
        lines.append(
            f"{name:<8} {statistics.median(rates):>8.0f} {_range(rates, 0):<16} "
            f"{statistics.median(costs):>7.3f} {_range(costs, 3)}"
        )
    pairs = list(zip(rounds[OURS], rounds[THEIRS], strict=True))
    faster = [ours.rate / theirs.rate for ours, theirs in pairs]
    cheaper = [ours.ms / theirs.ms for ours, theirs in pairs]
    lines.append(
        f"{'ratio':<8} {statistics.median(faster):>8.2f} {_range(faster, 2):<16} "
        f"{statistics.median(cheaper):>7.2f} {_range(cheaper, 2)}"
    )
    verdict = "reached" if statistics.median(faster) >= 1 and statistics.median(cheaper) <= 1 else "missed"
    calls = sum(sample.calls for samples in rounds.values() for sample in samples)
    return "\n".join([*lines, "", f"{len(pairs)} rounds, {calls} calls; at least equal: {verdict}"])


def _range(values: Sequence[float], digits: int) -> str:
    return f"[{min(values):.{digits}f} … {max(values):.{digits}f}]"


def main() -> None:
    parser = create_parser("serve", __doc__)
    parser.add_argument("--seconds", type=float, default=10, help="start new rounds for this long")
    parser.add_argument("--connections", type=int, default=16, help="how many calls are in flight at once")
    parser.add_argument("--signed", action="store_true", help="in production mode, with signatures")
    options = parser.parse_args()
    signing_key = _SIGNING_KEY if options.signed else ""
    rounds = uvloop.run(run(options.seconds, options.connections, signing_key, verbose=options.verbose))
    print(report(rounds))


if __name__ == "__main__":
    main()
