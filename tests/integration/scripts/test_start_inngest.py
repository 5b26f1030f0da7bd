"""scripts/start-inngest.sh and scripts/run.sh with every kind of CLI (found, missing, too old) and occupied ports.

Each test runs a copy of the scripts, with a PATH that holds only what they use and what the test puts there.
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
PROGRAMS = ("bash", "cat", "cksum", "dirname", "env", "grep", "mkdir", "mv", "sed", "sleep", "tail", "tr")
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
# Records its arguments, and runs only ports.py and -c. The bot (main.py) ends as soon as Inngest was started, and then
# the stubs are stopped. So a record appears whole: bash writes it line by line.
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
printf "%s\\n" "$@" >"{note}.part"
mv "{note}.part" "{note}"
"""


class ScriptRunner:
    """A copy of the scripts, and the programs installed beside them."""

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
        """Install a CLI whose `dev --help` lists these flags and exits with `code`; `dev` records its arguments."""
        program = (path or self.bin) / name
        program.write_text(
            "#!/usr/bin/env bash\n"
            f'case "$*" in *"dev --help") echo "{flags}"; exit {code};; esac\n'
            f'printf "%s\\n" "${{0##*/}}" "$@" >"{self.folder}/called.part"\n'
            f'mv "{self.folder}/called.part" "{self.folder}/called"\n'
        )
        program.chmod(0o755)
        return program

    @property
    def recorded_calls(self) -> list[str]:
        """The program that was started, and its arguments."""
        note = self.folder / "called"
        return note.read_text().splitlines() if note.exists() else []

    def start(self, *arguments: str, script: str = "start-inngest.sh", **variables: str) -> tuple[int, str]:
        """Run a script; return its exit code and its stderr."""
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
    """Free ports below the ephemeral range, which no other process gets by chance."""
    ports: list[int] = []
    for port in range(10000 + os.getpid() % 1000 * 10, 32000):
        with suppress(OSError), socket.create_server(("", port)):
            ports.append(port)
        if len(ports) == count:
            break
    return ports


def test_cli_gets_its_flags_the_ports_and_the_app_url(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    code, stderr = runner.start(PORT="4001")
    assert code == 0, stderr
    dev, connect, gateway_grpc, executor_grpc = runner.ports.values()
    assert runner.recorded_calls == [
        *("inngest", "dev", "--no-discovery", "--port", dev, "--connect-gateway-port", connect),
        *("--connect-gateway-grpc-port", gateway_grpc, "--connect-executor-grpc-port", executor_grpc),
        *("-u", "http://127.0.0.1:4001/api/inngest"),
    ]
    assert f"http://127.0.0.1:{dev}" in stderr


def test_default_ports_are_9288_and_9289(runner: ScriptRunner) -> None:
    runner.install("inngest", OLDER_FLAGS)
    (runner.folder / "inngest_functions/ports.py").write_text("import sys; print(sys.argv[1:], file=sys.stderr)")
    runner.ports = {}
    code, stderr = runner.start()
    assert code == 0, stderr
    assert "['INNGEST_DEV_PORT=9288', 'INNGEST_CONNECT_PORT=9289']" in stderr
    assert runner.recorded_calls[3:] == [
        "--port",
        "9288",
        "--gateway-port",
        "9289",
        "-u",
        "http://127.0.0.1:3001/api/inngest",
    ]


def test_older_cli_gets_the_gateway_port_by_its_older_flag(runner: ScriptRunner) -> None:
    runner.install("inngest-cli", OLDER_FLAGS)
    code, stderr = runner.start()
    assert code == 0, stderr
    assert runner.recorded_calls[0] == "inngest-cli"
    assert runner.recorded_calls[5:7] == ["--gateway-port", runner.ports["INNGEST_CONNECT_PORT"]]
    assert "--connect-gateway-port" not in runner.recorded_calls


def test_named_cli_is_preferred_then_inngest(runner: ScriptRunner) -> None:
    runner.install("inngest-cli", CURRENT_FLAGS)
    runner.install("inngest", CURRENT_FLAGS)
    runner.start()
    assert runner.recorded_calls[0] == "inngest"
    folder = runner.folder / "a folder"
    folder.mkdir()
    named = runner.install("inngest-1.43", CURRENT_FLAGS, path=folder)
    runner.start(INNGEST_CLI=str(named))
    assert runner.recorded_calls[0] == "inngest-1.43"


def test_env_file_is_read_and_the_environment_wins(runner: ScriptRunner) -> None:
    named = runner.install("inngest-1.43", CURRENT_FLAGS, path=runner.folder)
    ports = free_ports(8)[4:]
    (runner.folder / ".env").write_text(f'INNGEST_CLI="{named}"\nPORT=4001\nINNGEST_DEV_PORT={ports[0]}\n')
    del runner.ports["INNGEST_DEV_PORT"]
    code, stderr = runner.start(PORT="4002")
    assert code == 0, stderr
    assert runner.recorded_calls[0] == "inngest-1.43"
    assert runner.recorded_calls[3:5] == ["--port", str(ports[0])]
    assert runner.recorded_calls[-1] == "http://127.0.0.1:4002/api/inngest"


def test_further_flags_are_passed_on(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    runner.start("--persist", "--log-level", "a b")
    assert runner.recorded_calls[-3:] == ["--persist", "--log-level", "a b"]


def test_connect_transport_passes_no_app_url(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    assert runner.start(INNGEST_TRANSPORT="connect")[0] == 0
    assert "-u" not in runner.recorded_calls


def test_npx_is_used_without_an_installed_cli(runner: ScriptRunner) -> None:
    runner.install("npx", CURRENT_FLAGS)
    code, stderr = runner.start()
    assert code == 0, stderr
    assert runner.recorded_calls[:5] == ["npx", "--yes", "--ignore-scripts=false", "inngest-cli@latest", "dev"]
    assert "using npx inngest-cli@latest" in stderr


def test_npx_that_cannot_get_the_cli_fails_with_advice(runner: ScriptRunner) -> None:
    runner.install("npx", "npm error: no network", code=1)
    code, stderr = runner.start()
    assert code == 1
    for part in ("npm error: no network", "npx could not get inngest-cli", "INNGEST_CLI="):
        assert part in stderr


def test_start_without_any_cli_explains_how_to_get_one(runner: ScriptRunner) -> None:
    code, stderr = runner.start()
    assert code == 1
    for part in ("No Inngest CLI was found", "npm install -g inngest-cli@latest", "INNGEST_CLI=", "stand-in"):
        assert part in stderr


def test_named_cli_that_is_missing_fails_without_a_replacement(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    code, stderr = runner.start(INNGEST_CLI="/nowhere/inngest")
    assert code == 1
    assert "INNGEST_CLI=/nowhere/inngest: no such program" in stderr
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
def test_too_old_cli_is_refused_with_the_reason(
    runner: ScriptRunner, flags: str, help_code: int, transport: str, why: str
) -> None:
    runner.install("inngest", flags, code=help_code)
    code, stderr = runner.start(INNGEST_TRANSPORT=transport)
    assert code == 1
    for part in ("inngest is too old", why, "npm install -g inngest-cli@latest"):
        assert part in stderr
    assert not runner.recorded_calls


def test_cli_without_connect_still_serves(runner: ScriptRunner) -> None:
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
def test_occupied_port_names_its_process_and_the_remedy(
    runner: ScriptRunner, setting: str, occupied_port: str
) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    code, stderr = runner.start(**{setting: occupied_port})
    assert code == 1
    for part in (f"{occupied_port} is in use by ", f"(pid {os.getpid()})", f"kill {os.getpid()}", f"{setting}="):
        assert part in stderr
    assert not runner.recorded_calls


def test_setting_that_is_not_a_port_is_named(runner: ScriptRunner) -> None:
    runner.install("inngest", CURRENT_FLAGS)
    code, stderr = runner.start(INNGEST_DEV_PORT="http")
    assert code == 2
    assert "INNGEST_DEV_PORT=http: not a port" in stderr


class TestRun:
    """scripts/run.sh finds Inngest the same way, but never through npx, and always starts the bot."""

    @pytest.fixture
    def runner(self, runner: ScriptRunner) -> ScriptRunner:
        """A runner with an up-to-date .venv, whose python records what it is asked to run."""
        for file in ROOT.glob("requirements*.txt"):
            shutil.copy(file, runner.folder)
        (runner.folder / ".venv").unlink()
        venv = runner.folder / ".venv"
        (venv / "bin").mkdir(parents=True)
        wanted = subprocess.run(
            "cat requirements*.txt | cksum",
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
        code, stderr = runner.start(*arguments, script="run.sh", **{"WITHOUT": "", **variables})
        assert code == 0, stderr
        return stderr

    def test_installed_cli_is_started(self, runner: ScriptRunner) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        assert "stand-in" not in self.run(runner)
        assert runner.recorded_calls[0] == "inngest"
        assert runner.recorded_calls[-1] == "http://127.0.0.1:3001/api/inngest"

    def test_stand_in_is_started_without_a_cli(self, runner: ScriptRunner) -> None:
        runner.install("npx", CURRENT_FLAGS)
        assert "stand-in" in self.run(runner)
        dev, connect = runner.ports["INNGEST_DEV_PORT"], runner.ports["INNGEST_CONNECT_PORT"]
        assert runner.recorded_calls == [
            *("-m", "sandbox.inngest", "--port", dev, "--connect-gateway-port", connect),
            *("-u", "http://127.0.0.1:3001/api/inngest"),
        ]

    def test_stand_in_is_started_with_a_too_old_cli(self, runner: ScriptRunner) -> None:
        runner.install("inngest", "--help", code=1)
        assert "too old" in self.run(runner)
        assert runner.recorded_calls[:2] == ["-m", "sandbox.inngest"]

    def test_stand_in_is_started_if_only_the_cli_needs_the_occupied_port(
        self, runner: ScriptRunner, occupied_port: str
    ) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        assert f"{occupied_port} is in use by " in self.run(
            runner, INNGEST_CONNECT_GATEWAY_GRPC_PORT=occupied_port
        )
        assert runner.recorded_calls[:2] == ["-m", "sandbox.inngest"]

    def test_nothing_is_started_if_both_need_the_occupied_port(
        self, runner: ScriptRunner, occupied_port: str
    ) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        stderr = self.run(runner, INNGEST_CONNECT_PORT=occupied_port, WITHOUT="yes")
        assert f"{occupied_port} is in use by " in stderr
        assert "orders go to Plan B" in stderr
        assert not runner.recorded_calls

    def test_running_inngest_is_used(self, runner: ScriptRunner, occupied_port: str) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        assert "using what runs" in self.run(runner, INNGEST_DEV_PORT=occupied_port, WITHOUT="yes")
        assert not runner.recorded_calls

    @pytest.mark.parametrize("variables", [{"INNGEST_BASE_URL": "http://there"}, {"ENVIRONMENT": "production"}])
    def test_nothing_is_started_with_inngest_elsewhere(
        self, runner: ScriptRunner, variables: dict[str, str]
    ) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        self.run(runner, WITHOUT="yes", **variables)
        assert not runner.recorded_calls

    def test_no_inngest_option_starts_no_inngest(self, runner: ScriptRunner) -> None:
        runner.install("inngest", CURRENT_FLAGS)
        self.run(runner, "--no-inngest", WITHOUT="yes")
        assert not runner.recorded_calls
