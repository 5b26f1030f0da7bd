"""The results: each promise, checked from outside, and the history of every order that broke one.

What users received is read from the calls that Telegram answered with 200; what was requested from providers, from
the offline provider's records or from the fake Replicate. The bot's own records are trusted only for money.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from bench.chaos.environment import WELCOME_CREDITS, ChaosEnvironment
from bench.chaos.faults import FaultInjector, FaultKind, Outage
from bench.chaos.users import ChaosUser, ConfirmTap
from storage.money.ledger import check_ledger
from tests.support.environments.environment import chat_text
from tests.support.test_data.ledger_totals import ledger_totals

COMMIT_WINDOW = 1.0
"""Seconds after Telegram's answer within which a live worker has committed it, on a busy machine."""
_ENDS = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Delivery:
    """A message that reached a chat. `kind` is result, failure, album, or empty if it does not end an order."""

    at: float
    chat: int
    message_id: int
    kind: str
    job: str
    text: str
    reply_to: int = 0
    """The id of the message that it replies to."""


@dataclass
class Verdict:
    """The counts of the table, and the jobs (by id) that broke a promise, each with what is wrong."""

    counts: dict[str, int | str] = field(default_factory=dict)
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    excused_duplicates: dict[str, str] = field(default_factory=dict)
    """Jobs that were delivered twice unavoidably, each with what died."""
    ledger_balanced: bool = True

    @property
    def all_held(self) -> bool:
        return not self.violations and self.ledger_balanced

    def add_violations(self, what: str, jobs: Iterable[str]) -> None:
        violating = list(jobs)
        self.counts[what] = len(violating)
        for job in violating:
            self.violations[job].append(what)


@dataclass
class Evidence:
    """Everything that is checked, collected once everything has ended."""

    jobs: dict[str, dict[str, Any]]
    ledger_kinds: Counter[tuple[str, str]]
    """How many ledger transactions a job has, by kind."""
    deliveries: dict[str, list[Delivery]]
    provider_requests: Counter[str]
    """How often each piece of a job's work was requested from a provider, by `job:piece`."""
    outages: list[Outage]
    final_edits: dict[tuple[int, int], str]
    """The final text of each edited message, by chat and message."""
    texts: list[Delivery]
    toasts: set[str]
    """The taps that were answered with a text."""


async def collect_evidence(injector: FaultInjector) -> Evidence:
    environment = injector.environment
    jobs = {
        row["id"].hex: row
        for row in await environment.rows("SELECT * FROM jobs WHERE NOT internal ORDER BY created_at")
    }
    transactions = await environment.rows("SELECT job_id, kind FROM ledger_transactions WHERE job_id IS NOT NULL")
    sent, final_edits = _read_calls(environment)
    starts = await environment.rows("SELECT job_id, result FROM journal WHERE starts_with(step, 'start-')")
    return Evidence(
        jobs=jobs,
        ledger_kinds=Counter((row["job_id"].hex, row["kind"]) for row in transactions),
        deliveries=_by_job(sent, jobs),
        provider_requests=_offline_requests(environment, jobs)
        if environment.offline
        else _replicate_requests(environment, starts),
        outages=injector.outages,
        final_edits=final_edits,
        texts=sent,
        toasts={
            call.params["callback_query_id"]
            for call in environment.telegram.state.outbox.calls("answerCallbackQuery")
            if call.status == 200 and call.params.get("text")
        },
    )


async def check_invariants(injector: FaultInjector, evidence: Evidence, users: Iterable[ChaosUser]) -> Verdict:
    verdict, jobs = Verdict(), evidence.jobs
    states = Counter(job["state"] for job in jobs.values())
    verdict.counts["orders accepted"] = len(jobs)
    verdict.counts |= {f"… {state}": states[state] for state in _ENDS}
    notified = {id_: [s for s in evidence.deliveries[id_] if s.kind in ("result", "failure")] for id_ in jobs}
    verdict.add_violations("LOST: never ended", (id_ for id_, job in jobs.items() if job["state"] not in _ENDS))
    verdict.add_violations(
        "LOST: ended, and the user was not notified", (id_ for id_ in jobs if not notified[id_])
    )
    verdict.add_violations(
        "user notified of another end", (i for i, job in jobs.items() if not _notified_correctly(job, notified[i]))
    )
    verdict.add_violations(
        "card does not show the end", (i for i, j in jobs.items() if not _progress_shows_end(evidence, j))
    )
    verdict.add_violations("LOST: taps without an order and without an answer", await _lost_taps(evidence, users))
    verdict.add_violations(
        "CHARGED TWICE, or not settled once", (i for i, j in jobs.items() if not _charged_once(evidence, i, j))
    )
    verdict.add_violations("wrong balance (users)", await _wrong_balances(injector.environment, jobs))
    verdict.add_violations(
        "PROVIDER ASKED TWICE",
        {piece.partition(":")[0] for piece, n in evidence.provider_requests.items() if n > 1},
    )
    doubled = {id_: _excuse_for_duplicate(evidence, id_) for id_ in jobs if _delivered_twice(evidence, id_)}
    why = Counter(doubled.values())
    verdict.excused_duplicates = {
        id_: f"delivered twice, as a {reason} died" for id_, reason in doubled.items() if reason
    }
    verdict.counts["delivered twice: a process died between Telegram's answer and our commit"] = why["process"]
    verdict.counts["delivered twice: PostgreSQL was unavailable between the two"] = why["database"]
    verdict.add_violations("DELIVERED TWICE", (id_ for id_, reason in doubled.items() if not reason))
    verdict.add_violations(
        "processes that did not end on SIGTERM", (f"one of {n + 1}" for n in range(injector.hung_terminations))
    )
    check = await check_ledger(injector.environment.db)
    totals = await ledger_totals(injector.environment.db)
    verdict.ledger_balanced = check.is_consistent and sum(totals.values()) == 0 and totals.get("held", 0) == 0
    verdict.counts["ledger sum"] = (
        f"{sum(totals.values())} ({'consistent' if verdict.ledger_balanced else f'WRONG: {check}'})"
    )
    return verdict


def _read_calls(environment: ChaosEnvironment) -> tuple[list[Delivery], dict[tuple[int, int], str]]:
    sends, last = [], {}
    for call in environment.telegram.state.outbox.calls():
        if call.status != 200 or not call.method.startswith(("send", "editMessageText")):
            continue
        result = json.loads(call.body)["result"]
        if call.method == "editMessageText":
            last[result["chat"]["id"], result["message_id"]] = result["text"]
        else:
            album = call.method == "sendMediaGroup"
            sends.append(_send(call.time, result[0] if album else result, album=album))
    return sends, last


def _send(at: float, message: Mapping[str, Any], *, album: bool) -> Delivery:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    taps = [
        b["callback_data"].split(":") for row in rows for b in row if b.get("callback_data", "").startswith("r:")
    ]
    _, job, action = taps[0] if taps else ("", "", "")
    kind = "album" if album else {"": "", "stop": "", "retry": "failure"}.get(action, "result")
    text = str(message.get("text") or message.get("caption") or "")
    reply_to = message.get("reply_to_message", {}).get("message_id", 0)
    return Delivery(at, message["chat"]["id"], message["message_id"], kind, job, text, reply_to)


def _by_job(sends: list[Delivery], jobs: Mapping[str, dict[str, Any]]) -> dict[str, list[Delivery]]:
    """An album has no buttons: it belongs to the order whose text replies to it. An album without such a text belongs
    to the order in its chat whose album came next."""
    by_job: dict[str, list[Delivery]] = defaultdict(list)
    albums = {(send.chat, send.message_id): send for send in sends if send.kind == "album"}
    owners = {(send.chat, send.reply_to): send.job for send in sends if send.job and send.reply_to}
    for send in sends:
        if send.job:
            by_job[send.job].append(send)
    for place, album in albums.items():
        later = sorted(where for where in owners if where[0] == place[0] and where[1] >= place[1])
        if later:
            by_job[owners[later[0]]].append(album)
    return by_job


def _offline_requests(environment: ChaosEnvironment, jobs: Mapping[str, dict[str, Any]]) -> Counter[str]:
    """Predictions by their seed, which follows from the job; voices by their names, which contain its id."""

    def seed(job: str, number: int) -> int:
        digest = sha256(f"{UUID(job)}:{number}".encode()).digest()
        return int.from_bytes(digest[:4]) % 2_000_000_000

    owners = {seed(job, number): f"{job}:start-{number}" for job in jobs for number in range(1, 5)}
    data = Path(environment.settings["DATA_DIR"])
    started = Counter(owners[json.loads(p.read_bytes())["seed"]] for p in (data / "offline").glob("[!.]*.json"))
    voices = {job[-8:]: job for job in jobs}
    names = (json.loads(path.read_bytes())["name"] for path in (data / "voices").glob("own-*.json"))
    return started + Counter(f"{voices[name.rpartition(' ')[2]]}:clone" for name in names)


def _replicate_requests(environment: ChaosEnvironment, starts: list[dict[str, Any]]) -> Counter[str]:
    """No two orders have the same input: the seed, the trigger word or the photo is unique."""
    owners = {row["result"].get("value"): row["job_id"].hex for row in starts if row["result"]}
    same_input: dict[str, list[str]] = defaultdict(list)
    for made in environment.replicate.predictions:
        same_input[json.dumps([made.model, made.input], sort_keys=True)].append(made.id)
    known = {key: next((owners[i] for i in ids if i in owners), ids[0]) for key, ids in same_input.items()}
    return Counter({f"{known[key]}:{number}": len(ids) for number, (key, ids) in enumerate(same_input.items())})


def _notified_correctly(job: dict[str, Any], notified: list[Delivery]) -> bool:
    return {send.kind for send in notified} <= {"result" if job["state"] == "succeeded" else "failure"}


def _progress_shows_end(evidence: Evidence, job: dict[str, Any]) -> bool:
    if job["state"] not in _ENDS:
        return True  # counted as lost
    shown = evidence.final_edits.get((job["chat_id"], job["progress_message_id"]), "")
    return chat_text(f"progress.{job['state']}", price=job["price"]) in shown


def _charged_once(evidence: Evidence, job_id: str, job: dict[str, Any]) -> bool:
    kinds = {kind: evidence.ledger_kinds[job_id, kind] for kind in ("hold", "capture", "release")}
    settled = "capture" if job["state"] == "succeeded" else "release"
    return kinds == {"hold": 1, "capture": 0, "release": 0, settled: 1} or job["state"] not in _ENDS


async def _wrong_balances(environment: ChaosEnvironment, jobs: Mapping[str, dict[str, Any]]) -> list[str]:
    spent = Counter[int]()
    for job in jobs.values():
        spent[job["user_id"]] += job["price"] if job["state"] == "succeeded" else 0
    rows = await environment.rows("SELECT user_id, available, held FROM balances")
    return [
        f"user {r['user_id']}"
        for r in rows
        if (r["available"], r["held"]) != (WELCOME_CREDITS - spent[r["user_id"]], 0)
    ]


async def _lost_taps(evidence: Evidence, users: Iterable[ChaosUser]) -> list[str]:
    """Taps on "Create" that became no job, without a message to the user that says so."""
    keys = {job["order_key"] for job in evidence.jobs.values()}

    def was_answered(tap: ConfirmTap) -> bool:
        texts = (s for s in evidence.texts if s.chat == tap.user_id and s.at >= tap.at)
        return any(chat_text("failure.handler") in s.text for s in texts) or any(
            q in evidence.toasts for q in tap.queries
        )

    return [f"{tap}" for user in users for tap in user.taps if tap.key not in keys and not was_answered(tap)]


def _delivered_twice(evidence: Evidence, job_id: str) -> bool:
    counts = Counter(send.kind for send in evidence.deliveries[job_id])
    return any(counts[what] > 1 for what in ("result", "failure", "album"))


def _excuse_for_duplicate(evidence: Evidence, job_id: str) -> str:
    """What died at the time of each repeated send, so that Telegram's answer came and could not be committed.
    A process dies at one moment; a database is unavailable for a while. Empty if nothing died."""

    def find_outage(at: float) -> str:
        kills = (o for o in evidence.outages if o.kind is FaultKind.KILL)
        if any(abs(outage.started_at - at) <= COMMIT_WINDOW for outage in kills):
            return "process"
        database_outages = (
            o for o in evidence.outages if o.kind in (FaultKind.POSTGRES_KILL, FaultKind.POSTGRES_STOP)
        )
        return (
            "database" if any(o.started_at - COMMIT_WINDOW <= at <= o.ended_at for o in database_outages) else ""
        )

    reasons = []
    for what in ("result", "failure", "album"):
        times = sorted(send.at for send in evidence.deliveries[job_id] if send.kind == what)
        reasons += [find_outage(earlier) for earlier, _ in pairwise(times)]
    return min(reasons, default="")


async def describe_order(environment: ChaosEnvironment, evidence: Evidence, job_id: str) -> str:
    """Everything that is known about one order, in order of time."""
    job = evidence.jobs.get(job_id)
    if job is None:
        return job_id
    uuid = UUID(job_id)
    events = await environment.rows("SELECT * FROM job_events WHERE job_id = $1", uuid)
    journal = await environment.rows("SELECT * FROM journal WHERE job_id = $1", uuid)
    transactions = await environment.rows(
        "SELECT kind, created_at FROM ledger_transactions WHERE job_id = $1", uuid
    )
    lines = [
        (e["at"].timestamp(), f"{e['kind']} · plan {e['plan']} · epoch {e['epoch']} {e['detail']}") for e in events
    ]
    for entry in journal:
        name = f"step {entry['step']} · plan {entry['plan']} · epoch {entry['epoch']}"
        lines.append((entry["started_at"].timestamp(), f"{name} started"))
        if entry["ended_at"]:
            lines.append((entry["ended_at"].timestamp(), f"{name} ended: {str(entry['result'])[:90]}"))
    lines += [(row["created_at"].timestamp(), f"ledger: {row['kind']}") for row in transactions]
    lines += [
        (send.at, f"Telegram accepted message {send.message_id}: {send.kind}")
        for send in evidence.deliveries[job_id]
    ]
    first = min(at for at, _ in lines)
    last = max(at for at, _ in lines)
    for outage in evidence.outages:
        if first - 2 <= outage.started_at <= last + 2:
            lines += [(outage.started_at, f"× {outage.kind}"), (outage.ended_at, f"× … is back: {outage.kind}")]
    ended = f"{job['state']} {job['failure'] or ''}"
    head = f"{uuid} {job['service']} of {job['user_id']}: {ended}, worker {job['worker_id']}"
    return "\n".join([head, *(f"  {at - first:8.3f} {text}" for at, text in sorted(lines))])
