"""Dockerfile, compose.yaml and the guide for deploying: they name what exists, agree, and contain no secret."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]

from bot.settings import Settings, read_settings

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
GUIDE = (ROOT / "docs/how-to/deploy.md").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
DEPLOYMENT_VARIABLES = {"DOMAIN", "POSTGRES_PASSWORD", "DIPTYCH_VERSION"}
"""Variables that compose.yaml requires and that are not settings of the bot."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::[-?][^}]*)?\}")


def strings(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from strings(each)
    elif isinstance(part, str):
        yield part


def copied_paths() -> set[str]:
    """What the image copies from the repository."""
    lines = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return {name for line in lines for name in line.split()}


def imported_packages() -> set[str]:
    """The repository's own top-level packages that main.py leads to, wherever in a module they are imported."""
    found: set[str] = set()
    wanted = {"main"}
    while wanted:
        name = wanted.pop()
        files = [ROOT / f"{name}.py"] if name == "main" else [*(ROOT / name).rglob("*.py")]
        if not files:
            continue
        found.add(name)
        for node in (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))):
            if isinstance(node, ast.Import):
                wanted |= {alias.name.partition(".")[0] for alias in node.names} - found
            elif isinstance(node, ast.ImportFrom) and node.module:
                wanted |= {node.module.partition(".")[0]} - found
    return found


def guide_env() -> dict[str, str]:
    """The .env that docs/how-to/deploy.md tells operators to write."""
    block = re.search(r"cat >\.env <<EOF\n(.*?)\nEOF\n", GUIDE, re.DOTALL)
    assert block
    lines = dict(line.split("=", 1) for line in block[1].splitlines())
    return {name: "ab12" * 16 if value.startswith("$(") else value for name, value in lines.items()}


def app_env() -> dict[str, str]:
    """The environment of a replica: the .env, overridden by compose.yaml."""
    env = guide_env()
    environment = SERVICES["app"]["environment"]
    return env | {name: _VARIABLE.sub(lambda match: env[match[1]], value) for name, value in environment.items()}


def known_settings() -> set[str]:
    return set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_image_has_every_package_that_the_bot_imports_and_no_sandbox() -> None:
    needed = imported_packages() - {"main", "sandbox"}
    assert {"bot", "handlers", "services", "storage"} <= needed
    assert copied_paths() == needed | {"main.py", "migrations", "locales", "requirements.txt"}


def test_dockerignore_lets_only_through_what_the_image_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied_paths()
    assert {rule for rule in rules[1:] if not rule.startswith("!")} == {"**/__pycache__", "**/*.pyc"}


def test_image_installs_production_requirements_and_runs_unprivileged() -> None:
    assert "--require-hashes --only-binary :all: -r requirements.txt" in DOCKERFILE
    assert "sandbox" not in (ROOT / "requirements.txt").read_text()
    user = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    assert user
    assert user[-1] != "0"
    python = re.findall(r"^FROM python:(3\.\d+)-slim", DOCKERFILE, re.MULTILINE)
    assert len(python) == 2
    assert len(set(python)) == 1, "one build stage installs what the other runs"


def test_port_is_the_same_in_all_files() -> None:
    (exposed,) = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert exposed == str(Settings.model_fields["port"].default)
    assert f"PORT={exposed}" in DOCKERFILE
    assert SERVICES["app"]["environment"]["PORT"] == exposed
    upstream = re.search(r"name app\s+port (\d+)", (ROOT / "deploy/Caddyfile").read_text())
    assert upstream
    assert upstream[1] == exposed
    assert "['PORT']}/health/live" in DOCKERFILE


def test_compose_variables_are_known_and_in_the_guide() -> None:
    requested = {name for text in strings(SERVICES) for name in _VARIABLE.findall(text)}
    assert requested <= known_settings() | DEPLOYMENT_VARIABLES
    assert set(SERVICES["app"]["environment"]) <= known_settings()
    env = guide_env()
    assert set(env) <= known_settings() | DEPLOYMENT_VARIABLES
    assert requested <= set(env)


def test_settings_of_a_replica_with_the_guides_env_are_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in known_settings():
        monkeypatch.delenv(name, raising=False)
    for name, value in app_env().items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    assert settings.environment == "production"
    assert settings.public_url == "https://bot.example.com"
    assert settings.bind_host == "0.0.0.0"
    assert settings.inngest_url == "http://inngest:8288"
    assert "@postgres/diptych" in settings.database_url.get_secret_value()


def test_compose_with_several_replicas_uses_the_webhook() -> None:
    assert SERVICES["app"]["deploy"]["replicas"] >= 2
    assert SERVICES["app"]["environment"]["TELEGRAM_MODE"] == "webhook"


def test_compose_and_dockerfile_contain_no_secret() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"KEY|TOKEN|SECRET|PASSWORD", name):
                assert _VARIABLE.fullmatch(value), name
            password = urlsplit(_VARIABLE.sub("VARIABLE", value)).password
            assert password in (None, "VARIABLE"), f"{name}: a password in a URL"
    assert not re.search(r"KEY|TOKEN|SECRET|PASSWORD", DOCKERFILE)


def test_compose_exposes_only_the_proxy() -> None:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert document["networks"]["inside"] == {"internal": True}
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert name == "proxy" or port.startswith("127.0.0.1:"), name
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["inside"]


def test_compose_services_restart_have_health_checks_and_keep_their_data() -> None:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    kept = set()
    for name, service in SERVICES.items():
        assert service["restart"] == "unless-stopped", name
        assert "healthcheck" in service or ("build" in service and "HEALTHCHECK" in DOCKERFILE), name
        assert name == "app" or re.search(r":v?\d+", service["image"]), f"{name}: a tag that does not move"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).is_file(), source
            else:
                kept.add(source)
    assert kept == set(document["volumes"])
    assert {"postgres", "redis", "caddy-data"} <= kept


def test_postgres_has_enough_connections_for_replicas_and_inngest() -> None:
    pool = Settings.model_fields["database_pool_size"].default
    replicas = SERVICES["app"]["deploy"]["replicas"]
    inngest = int(SERVICES["inngest"]["environment"]["INNGEST_POSTGRES_MAX_OPEN_CONNS"])
    assert replicas * pool + inngest <= 90, "of Postgres' 100"
