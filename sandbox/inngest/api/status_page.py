"""The status page: one HTML document without external resources."""

import json
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sandbox.inngest.engine.engine import Engine
    from sandbox.inngest.engine.runs import Run

DISCLAIMER: Final = (
    "This is a stand-in for the Inngest dev server, for development and tests only: "
    "it keeps everything in memory and loses it when it stops."
)
"""What the page, the command line and the log say about the server."""

_MAX_RUNS: Final = 100
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1c2330}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
.notice{background:#fff4d6;border:1px solid #e5c469;border-radius:6px;padding:.6rem .9rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;
border-bottom:1px solid #e3e7ee}code{font-size:.9em;word-break:break-all}
ol{margin:.2rem 0;padding-left:1.2rem}.Failed,.error{color:#b3261e}.Completed{color:#1b7a3d}
.Cancelled{color:#777}
@media(prefers-color-scheme:dark){body{background:#14181f;color:#dde3ec}.notice{background:#3a3115;
border-color:#6b5a22}td,th{border-color:#2b323d}.Failed,.error{color:#ff8a80}.Completed{color:#7bd88f}}
"""


def render_page(engine: "Engine") -> str:
    """Return the page as HTML: apps, functions and the newest 100 runs with their steps."""
    runs = [run for _, run in zip(range(_MAX_RUNS), reversed(engine.runs.values()), strict=False)]
    state = (
        ""
        if engine.executor_running.is_set()
        else "<p class=error>The executor is stopped: no function is called.</p>"
    )
    apps, functions = "".join(_app_rows(engine)), "".join(_function_rows(engine))
    return f"""<!doctype html><html lang=en><meta charset=utf-8><title>Inngest stand-in</title>
<meta name=viewport content="width=device-width"><style>{_STYLE}</style>
<h1>Inngest stand-in</h1><p class=notice>{escape(DISCLAIMER)}</p>{state}
<h2>Apps</h2><table><tr><th>App<th>Address<th>SDK<th>State</tr>{apps or _empty_row(4)}</table>
<h2>Functions</h2><table><tr><th>Function<th>Triggers</tr>{functions or _empty_row(2)}</table>
<h2>Recent runs</h2><table><tr><th>Run<th>Function<th>Event<th>Status<th>Steps</tr>
{"".join(map(_run_row, runs)) or _empty_row(5)}</table></html>"""


def _app_rows(engine: "Engine") -> list[str]:
    return [
        f"<tr><td>{escape(app.name or '—')}<td><code>{escape(app.url)}</code><td>{escape(app.sdk)}"
        f"<td class={'error' if app.error else 'ok'}>{escape(app.error or _time_text(app.synced_at))}</tr>"
        for app in engine.apps.values()
    ]


def _function_rows(engine: "Engine") -> list[str]:
    return [
        f"<tr><td><code>{escape(function.id)}</code><td>"
        + ", ".join(
            f"<code>{escape(trigger.event or trigger.cron or '')}</code>"
            + (f" if <code>{escape(trigger.expression)}</code>" if trigger.expression else "")
            for trigger in function.triggers
        )
        + "</tr>"
        for function in engine.functions.values()
    ]


def _run_row(run: "Run") -> str:
    steps = "".join(
        f"<li>{escape(step.name)} <span class={escape(step.status)}>{escape(step.status)}</span>"
        + (f" · tried {step.attempts} times" if step.attempts > 1 else "")
        + "</li>"
        for step in run.step_records.values()
    )
    output = (
        ""
        if run.output is None
        else f"<details><summary>output</summary><code>{_json_text(run.output)}</code></details>"
    )
    return (
        f"<tr id={run.id}><td><code>{run.id}</code><br>{_time_text(run.created_at)}"
        f"<td><code>{escape(run.function.id)}</code>"
        f"<td>{escape(run.event.name)}<br><code>{escape(run.event.id)}</code>"
        f"<td class={run.status}>{run.status}<td><ol>{steps}</ol>{output}</tr>"
    )


def _json_text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return escape(text if len(text) <= 2000 else text[:2000] + "…")


def _time_text(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%H:%M:%S")


def _empty_row(columns: int) -> str:
    return f"<tr><td colspan={columns}>none yet</tr>"
