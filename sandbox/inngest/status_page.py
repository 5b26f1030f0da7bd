"""The status page: one HTML document without external resources."""

import json
from collections.abc import Iterable
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sandbox.inngest.engine import Engine
    from sandbox.inngest.runs import Run

DISCLAIMER: Final = (
    "This is a stand-in for the Inngest dev server, for development and tests only: "
    "it keeps everything in memory and loses it when it stops."
)
"""What the page, the command line and the log say about the server."""

_MAX_RUNS: Final = 100
_MAX_OUTPUT: Final = 2_000
_STYLE: Final = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}
.notice{border:1px solid #e5c469;border-radius:6px;padding:.6rem .9rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;
border-bottom:1px solid #8884}td{word-break:break-word}.Failed,.error{color:#d9534f}.Completed{color:#2e9b57}
"""


def render_page(engine: "Engine") -> str:
    """Return the page as HTML: apps, functions and the newest 100 runs with their steps."""
    runs = islice(reversed(engine.runs.values()), _MAX_RUNS)
    apps = [(app.appname, app.url) for app in engine.apps.values()]
    functions = [
        (function.id, ", ".join(trigger.event or trigger.cron or "" for trigger in function.triggers))
        for function in engine.functions.values()
    ]
    errors = [f"{url} did not register: {error}" for url, error in engine.sync_errors.items()]
    if engine.limiter.paused:
        errors.append("The executor is stopped: no function is called.")
    return f"""<!doctype html><html lang=en><meta charset=utf-8><title>Inngest stand-in</title>
<meta name=viewport content="width=device-width"><style>{_STYLE}</style>
<h1>Inngest stand-in</h1><p class=notice>{escape(DISCLAIMER)}</p>
{"".join(f"<p class=error>{escape(error)}" for error in errors)}
<h2>Apps</h2>{_render_table("App Address", map(_render_row, apps))}
<h2>Functions</h2>{_render_table("Function Triggers", map(_render_row, functions))}
<h2>Recent runs</h2>{_render_table("Run Function Event Status Steps Output", map(_render_run, runs))}</html>"""


def _render_run(run: "Run") -> str:
    steps = "; ".join(f"{name}: {status}" for name, status in run.step_statuses.items())
    output = "" if run.output is None else json.dumps(run.output, ensure_ascii=False)[:_MAX_OUTPUT]
    event = f"{run.event.name} {run.event.id}"
    created = f"{run.created_at:%H:%M:%S} {run.id}"
    return _render_row((created, run.function.id, event, run.status, steps, output), run.status)


def _render_row(cells: Iterable[str], name: str = "") -> str:
    return f"<tr class='{name}'>" + "".join(f"<td>{escape(cell)}" for cell in cells)


def _render_table(headings: str, rows: Iterable[str]) -> str:
    head = "".join(f"<th>{heading}" for heading in headings.split())
    return f"<table><tr>{head}{''.join(rows) or '<tr><td>none yet'}</table>"
