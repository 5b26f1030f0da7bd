"""docs/monitoring is valid, and every metric that it names exists."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml  # type: ignore[import-untyped]

from services.core.metrics import VERSION
from tests.support.test_data.metric_samples import sample_names
from web.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "monitoring"
_NAME = re.compile(r"\b((?:diptych|process)_\w+)")


def known_names() -> set[str]:
    plan_a = SimpleNamespace(healthy=True, state="ok", since=datetime.now(UTC))
    router = SimpleNamespace(plan_a=plan_a, services=["speech"], mode=lambda service: "auto")
    pool = SimpleNamespace(get_size=lambda: 1, get_idle_size=lambda: 1)
    worker = SimpleNamespace(in_flight=0, free_slots=8)
    page = Metrics(cast("Any", pool), cast("Any", router), cast("Any", worker))
    return sample_names(page.collect())


def dashboard() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((FOLDER / "grafana.json").read_text()))


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return cast("list[dict[str, Any]]", group["rules"])


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (rule["expr"] for rule in rules())


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_expression_names_only_existing_metrics(expression: str) -> None:
    named = set(_NAME.findall(expression))
    assert named
    assert named <= known_names()


def test_metrics_are_all_on_the_dashboard_or_in_an_alert() -> None:
    named = {name for expression in expressions() for name in _NAME.findall(expression)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known_names() if name.startswith("diptych_")}
    assert ours - families == {"diptych_plan_a_since_timestamp_seconds"}


def test_panels_have_unique_ids_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_alert_rules_have_a_severity_and_a_summary() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]


def test_version_is_that_of_pyproject() -> None:
    assert f'version = "{VERSION}"' in (ROOT / "pyproject.toml").read_text()
