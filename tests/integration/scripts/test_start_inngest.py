"""scripts/start-inngest.sh and scripts/run.sh with CLIs of every kind: found, none, old, and ports that are taken.

Each runs in a copy of the scripts, with nothing on its PATH but what the scripts use and the test puts there.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ("bash", "cat", "cksum", "dirname", "env", "grep", "mkdir", "sed", "sleep", "tail", "tr")
FLAGS_BEFORE_CONNECT = "--port --no-discovery --sdk-url"
OLDER_FLAGS = f"{FLAGS_BEFORE_CONNECT} --gateway-port"
CURRENT_FLAGS = (
    f"{FLAGS_BEFORE_CONNECT} --connect-gateway-port --connect-gateway-grpc-port --connect-executor-grpc-port"
)
PORTS = (
    "INNGEST_DEV_PORT",
    "INNGEST_CONNECT_PORT",
    "INNGEST_CONNECT_GATEWAY_GRPC_PORT",
    "INNGEST_CONNECT_EXECUTOR_GRPC_PORT",
)
# Notes what it is told to run, and runs only what the scripts ask of it. The bot ends once Inngest was started.
PYTHON = """#!/usr/bin/env bash
case "$*" in
    *ports.py\\ * | -c\\ *) exec {real} "$@" ;;
    main.py)
        for i in {{1..500}}; do
            if [ -n "$WITHOUT" ] || [ -s "{note}" ]; then exit; fi
            sleep 0.02
        done
        exit 3 ;;
esac
printf "%s\\n" "$@" >"{note}"
"""


class ScriptRunner:
    """A copy of the scripts, and what is installed beside them."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        for program in PROGRAMS:
            found = shutil.which(program)
            assert found
            (self.bin / program).symlink_to(found)
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        (folder / "inngest_functions").mkdir()
        shutil.copy(ROOT / "inngest_functions/ports.py", folder / "inngest_functions")
        (folder / ".venv").symlink_to(sys.prefix)
        self.ports = dict(zip(PORTS, map(str, ports), strict=True))

    def install(self, name: str, flags: str, *, path: Path | None = None, code: int = 0) -> Path:
        """A CLI whose `dev --help` names these flags and ends with this code; `dev` notes how it was called."""
        program = (path or self.bin) / name
        program.write_text(
            "#!/usr/bin/env bash\n"
            f'case "$*" in *"dev --help") echo "{flags}"; exit {code};; esac\n'
            f'printf "%s\\n" "${{0##*/}}" "$@" >"{self.folder}/called"\n'
        )
        program.chmod(0o755)
        return program

    @property
    def recorded_calls(self) -> list[str]:
        """The program that was started, and what it was given."""
        note = self.folder / "called"
        return note.read_text().splitlines() if note.exists() else []

    def start(self, *arguments: str, script: str = "start-inngest.sh", **variables: str) -> tuple[int, str]:
        """The exit code, and what was said on stderr."""
        done = subprocess.run(
            [self.folder / "scripts" / script, *arguments],
            env={"PATH": str(self.bin), **self.ports, **variables},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stderr


@pytest.fixture
def runner(tmp_path: Path) -> ScriptRunner:
    return ScriptRunner(tmp_path, free_ports(len(PORTS)))


@pytest.fixture
def occupied_port() -> Iterator[str]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """Ports that nothing gets by chance: below the ones that systems hand out."""
    ports: list[int] = []
    for port in range(10000 + os.getpid() % 1000 * 10, 32000):
        with suppress(OSError), socket.create_server(("", port)):
            ports.append(port)
        if len(ports) == count:
            break
    return ports


def test_it_gives_this_clis_flags_the_ports_and_the_app(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    code, said = runner.start(PORT="4001")
    assert code == 0, said
    dev, connect, gateway_grpc, executor_grpc = runner.ports.values()
    assert runner.recorded_calls == [
        *("inngest", "dev", "--no-discovery", "--port", dev, "--connect-gateway-port", connect),
        *("--connect-gateway-grpc-port", gateway_grpc, "--connect-executor-grpc-port", executor_grpc),
        *("-u", "http://127.0.0.1:4001/api/inngest"),
    ]
    assert f"http://127.0.0.1:{dev}" in said


def test_with_nothing_set_the_ports_are_9288_and_9289(runner: ScriptRunner) -> None:
    runner.install("inngest", OLDER_FLAGS)
    (runner.folder / "inngest_functions/ports.py").write_text("import sys; print(sys.argv[1:], file=sys.stderr)")
    runner.ports = {}
    code, said = runner.start()
    assert code == 0, said
    assert "['INNGEST_DEV_PORT=9288', 'INNGEST_CONNECT_PORT=9289']" in said
    assert runner.recorded_calls[3:] == [
        "--port",
        "9288",
        "--gateway-port",
        "9289",
        "-u",
        "http://127.0.0.1:3001/api/inngest",
    ]


def test_an_older_cli_has_another_name_for_the_gateways_port(runner: ScriptRunner) -> None:
    runner.install("inngest-cli", OLDER_FLAGS)
    code, said = runner.start()
    assert code == 0, said
    assert runner.recorded_calls[0] == "inngest-cli"
    assert runner.recorded_calls[5:7] == ["--gateway-port", runner.ports["INNGEST_CONNECT_PORT"]]
    assert "--connect-gateway-port" not in runner.recorded_calls


def test_the_named_cli_goes_first_then_inngest(runner: ScriptRunner) -> None:
    runner.install("inngest-cli", CURRENT_FLAGS)
    runner.install("inngest", CURRENT_FLAGS)
    runner.start()
    assert runner.recorded_calls[0] == "inngest"
    folder = runner.folder / "a folder"
    folder.mkdir()
    named = runner.install("inngest-1.43", CURRENT_FLAGS, path=folder)
    runner.start(INNGEST_CLI=str(named))
    assert runner.recorded_calls[0] == "inngest-1.43"


def test_it_reads_the_env_file_and_the_environment_wins(runner: ScriptRunner) -> None:
    named = runner.install("inngest-1.43", CURRENT_FLAGS, path=runner.folder)
    ports = free_ports(8)[4:]
    (runner.folder / ".env").write_text(f'INNGEST_CLI="{named}"\nPORT=4001\nINNGEST_DEV_PORT={ports[0]}\n')
    del runner.ports["INNGEST_DEV_PORT"]
    code, said = runner.start(PORT="4002")
    assert code == 0, said
    assert runner.recorded_calls[0] == "inngest-1.43"
    assert runner.recorded_calls[3:5] == ["--port", str(ports[0])]
    assert runner.recorded_calls[-1] == "http://127.0.0.1:4002/api/inngest"


def test_more_flags_are_passed_on(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    runner.start("--persist", "--log-level", "a b")
    assert runner.recorded_calls[-3:] == ["--persist", "--log-level", "a b"]


def test_with_connect_no_app_is_called(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    assert runner.start(INNGEST_TRANSPORT="connect")[0] == 0
    assert "-u" not in runner.recorded_calls


def test_npx_is_the_last_resort(runner: ScriptRunner) -> None:
    runner.install("npx", CURRENT_FLAGS)
    code, said = runner.start()
    assert code == 0, said
    assert runner.recorded_calls[:5] == ["npx", "--yes", "--ignore-scripts=false", "inngest-cli@latest", "dev"]
    assert "npx gets inngest-cli@latest" in said


def test_npx_that_cannot_get_it(runner: ScriptRunner) -> None:
    runner.install("npx", "npm error: no network", code=1)
    code, said = runner.start()
    assert code == 1
    for part in ("npm error: no network", "npx could not get inngest-cli", "INNGEST_CLI="):
        assert part in said


def test_without_any_cli_it_says_how_to_get_one(runner: ScriptRunner) -> None:
    code, said = runner.start()
    assert code == 1
    for part in ("No Inngest CLI was found", "npm install -g inngest-cli@latest", "INNGEST_CLI=", "stand-in"):
        assert part in said


def test_a_named_cli_that_is_not_there_is_not_replaced(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    code, said = runner.start(INNGEST_CLI="/nowhere/inngest")
    assert code == 1
    assert "INNGEST_CLI=/nowhere/inngest: no such program" in said
    assert not runner.recorded_calls


@pytest.mark.parametrize(
    ("flags", "help_code", "transport", "why"),
    [
        ("unknown command: dev", 1, "serve", "unknown command: dev"),
        ("--host --no-discovery --sdk-url", 0, "serve", "its `dev` has no --port"),
        ("--port --sdk-url --gateway-port", 0, "serve", "its `dev` has no --no-discovery"),
        (FLAGS_BEFORE_CONNECT, 0, "connect", "INNGEST_TRANSPORT=connect needs"),
    ],
)
def test_an_old_cli_is_refused_with_words(
    runner: ScriptRunner, flags: str, help_code: int, transport: str, why: str
) -> None:
    runner.install("inngest", flags, code=help_code)
    code, said = runner.start(INNGEST_TRANSPORT=transport)
    assert code == 1
    for part in ("inngest is too old", why, "npm install -g inngest-cli@latest"):
        assert part in said
    assert not runner.recorded_calls


def test_a_cli_from_before_connect_still_serves(runner: ScriptRunner) -> None:
    runner.install("inngest", FLAGS_BEFORE_CONNECT)
    assert runner.start(INNGEST_CONNECT_PORT="1")[0] == 0
    assert runner.recorded_calls[:5] == [
        "inngest",
        "dev",
        "--no-discovery",
        "--port",
        runner.ports["INNGEST_DEV_PORT"],
    ]


@pytest.mark.parametrize("setting", [PORTS[0], PORTS[3]])
def test_a_taken_port_names_its_holder_and_what_to_do(
    runner: ScriptRunner, setting: str, occupied_port: str
) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    code, said = runner.start(**{setting: occupied_port})
    assert code == 1
    for part in (f"{occupied_port} is taken by ", f"(pid {os.getpid()})", f"kill {os.getpid()}", f"{setting}="):
        assert part in said
    assert not runner.recorded_calls


def test_a_setting_that_is_no_port_is_named(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    code, said = runner.start(INNGEST_DEV_PORT="http")
    assert code == 2
    assert "INNGEST_DEV_PORT=http: not a port" in said


class TestRun:
    """scripts/run.sh finds Inngest in the same way, but never by npx, and always starts the bot."""

    @pytest.fixture
    def runner(self, runner: ScriptRunner) -> ScriptRunner:
        """Its .venv is in order, and its python notes what it runs instead of running it."""
        for file in (*ROOT.glob("requirements*.txt"), ROOT / "constraints.txt"):
            shutil.copy(file, runner.folder)
        (runner.folder / ".venv").unlink()
        venv = runner.folder / ".venv"
        (venv / "bin").mkdir(parents=True)
        wanted = subprocess.run(
            "cat requirements*.txt constraints.txt | cksum",
            shell=True,
            cwd=runner.folder,
            capture_output=True,
            check=True,
        )
        (venv / ".diptych-requirements-sandbox.txt").write_bytes(wanted.stdout)
        python = venv / "bin/python"
        python.write_text(PYTHON.format(real=sys.executable, note=runner.folder / "called"))
        python.chmod(0o755)
        return runner

    def run(self, runner: ScriptRunner, *arguments: str, **variables: str) -> str:
        code, said = runner.start(*arguments, script="run.sh", **{"WITHOUT": "", **variables})
        assert code == 0, said
        return said

    def test_an_installed_cli(self, runner: ScriptRunner) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        assert "stand-in" not in self.run(runner)
        assert runner.recorded_calls[0] == "inngest"
        assert runner.recorded_calls[-1] == "http://127.0.0.1:3001/api/inngest"

    def test_no_cli(self, runner: ScriptRunner) -> None:
        runner.install("npx", CURRENT_FLAGS)
        assert "stand-in" in self.run(runner)
        dev, connect = runner.ports["INNGEST_DEV_PORT"], runner.ports["INNGEST_CONNECT_PORT"]
        assert runner.recorded_calls == [
            *("-m", "sandbox.inngest", "--port", dev, "--connect-gateway-port", connect),
            *("-u", "http://127.0.0.1:3001/api/inngest"),
        ]

    def test_an_old_cli(self, runner: ScriptRunner) -> None:
        runner.install("inngest", "--help", code=1)
        assert "too old" in self.run(runner)
        assert runner.recorded_calls[:2] == ["-m", "sandbox.inngest"]

    def test_a_taken_port_that_the_stand_in_does_not_need(self, runner: ScriptRunner, occupied_port: str) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        assert f"{occupied_port} is taken by " in self.run(runner, INNGEST_CONNECT_GATEWAY_GRPC_PORT=occupied_port)
        assert runner.recorded_calls[:2] == ["-m", "sandbox.inngest"]

    def test_a_taken_port_that_both_need(self, runner: ScriptRunner, occupied_port: str) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        said = self.run(runner, INNGEST_CONNECT_PORT=occupied_port, WITHOUT="yes")
        assert f"{occupied_port} is taken by " in said
        assert "orders go to Plan B" in said
        assert not runner.recorded_calls

    def test_an_inngest_that_runs_already(self, runner: ScriptRunner, occupied_port: str) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        assert "using what runs" in self.run(runner, INNGEST_DEV_PORT=occupied_port, WITHOUT="yes")
        assert not runner.recorded_calls

    @pytest.mark.parametrize("variables", [{"INNGEST_BASE_URL": "http://there"}, {"ENVIRONMENT": "production"}])
    def test_an_inngest_elsewhere(self, runner: ScriptRunner, variables: dict[str, str]) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        self.run(runner, WITHOUT="yes", **variables)
        assert not runner.recorded_calls

    def test_plan_b_alone(self, runner: ScriptRunner) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        self.run(runner, "--no-inngest", WITHOUT="yes")
        assert not runner.recorded_calls
