"""What came out: each promise, counted from outside, and the story of every order that broke one.

What people got is read from the calls that Telegram answered with 200; what providers were asked for from the
offline provider's records, or from Replicate's stand. The bot's own word is believed for nothing but its money.
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
"""Seconds after Telegram's answer within which a runner that lives has written it down, on a busy machine."""
_ENDS = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Delivery:
    """Something that reached a chat. `what` is result, failure, album, or nothing of an order's end."""

    at: float
    chat: int
    message_id: int
    kind: str
    job: str
    text: str
    answers: int = 0
    """The message that it replies to."""


@dataclass
class Verdict:
    """The counts of the table, and the jobs (by id) that broke a promise, each with what is wrong."""

    counts: dict[str, int | str] = field(default_factory=dict)
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    excused_duplicates: dict[str, str] = field(default_factory=dict)
    """Jobs that were delivered twice as nobody could help it, each with what died."""
    ledger_balanced: bool = True

    @property
    def all_held(self) -> bool:
        return not self.violations and self.ledger_balanced

    def add_violations(self, what: str, jobs: Iterable[str]) -> None:
        blamed = list(jobs)
        self.counts[what] = len(blamed)
        for job in blamed:
            self.violations[job].append(what)


@dataclass
class Evidence:
    """All that is judged, gathered once everything has ended."""

    jobs: dict[str, dict[str, Any]]
    ledger_moves: Counter[tuple[str, str]]
    """How many moves of the ledger a job has, by kind."""
    deliveries: dict[str, list[Delivery]]
    provider_requests: Counter[str]
    """How often each piece of a job's work was asked for at a provider, by `job:piece`."""
    outages: list[Outage]
    final_edits: dict[tuple[int, int], str]
    """What each edited message says in the end, by chat and message."""
    texts: list[Delivery]
    toasts: set[str]
    """The taps that were answered in words."""


async def collect_evidence(chaos: FaultInjector) -> Evidence:
    environment = chaos.stage
    jobs = {
        row["id"].hex: row
        for row in await environment.rows("SELECT * FROM jobs WHERE NOT internal ORDER BY created_at")
    }
    moves = await environment.rows("SELECT job_id, kind FROM ledger_transactions WHERE job_id IS NOT NULL")
    said_all, last_words = _read_calls(environment)
    starts = await environment.rows("SELECT job_id, result FROM journal WHERE starts_with(step, 'start-')")
    return Evidence(
        jobs=jobs,
        ledger_moves=Counter((row["job_id"].hex, row["kind"]) for row in moves),
        deliveries=_by_job(said_all, jobs),
        provider_requests=_offline_requests(environment, jobs)
        if environment.offline
        else _replicate_requests(environment, starts),
        outages=chaos.outages,
        final_edits=last_words,
        texts=said_all,
        toasts={
            call.params["callback_query_id"]
            for call in environment.telegram._server.state.outbox.calls("answerCallbackQuery")
            if call.status == 200 and call.params.get("text")
        },
    )


async def check_invariants(chaos: FaultInjector, evidence: Evidence, customers: Iterable[ChaosUser]) -> Verdict:
    verdict, jobs = Verdict(), evidence.jobs
    states = Counter(job["state"] for job in jobs.values())
    verdict.counts["orders taken"] = len(jobs)
    verdict.counts |= {f"… {state}": states[state] for state in _ENDS}
    told = {id_: [s for s in evidence.deliveries[id_] if s.kind in ("result", "failure")] for id_ in jobs}
    verdict.add_violations("LOST: never ended", (id_ for id_, job in jobs.items() if job["state"] not in _ENDS))
    verdict.add_violations("LOST: ended, and the person was not told", (id_ for id_ in jobs if not told[id_]))
    verdict.add_violations(
        "told otherwise than it ended", (i for i, job in jobs.items() if not _told_correctly(job, told[i]))
    )
    verdict.add_violations(
        "whose card does not say the end", (i for i, j in jobs.items() if not _progress_shows_end(evidence, j))
    )
    verdict.add_violations("LOST: taps that became nothing, unsaid", await _lost_taps(evidence, customers))
    verdict.add_violations(
        "CHARGED TWICE, or not settled once", (i for i, j in jobs.items() if not _charged_once(evidence, i, j))
    )
    verdict.add_violations("whose balance is wrong (people)", await _wrong_balances(chaos.stage, jobs))
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
    verdict.counts["delivered twice: PostgreSQL was away between the two"] = why["database"]
    verdict.add_violations("DELIVERED TWICE", (id_ for id_, reason in doubled.items() if not reason))
    verdict.add_violations(
        "processes that did not stop when told to", (f"one of {n + 1}" for n in range(chaos.hung_terminations))
    )
    check = await check_ledger(chaos.stage.db)
    totals = await ledger_totals(chaos.stage.db)
    verdict.ledger_balanced = check.is_consistent and sum(totals.values()) == 0 and totals.get("held", 0) == 0
    verdict.counts["ledger sum"] = (
        f"{sum(totals.values())} ({'right' if verdict.ledger_balanced else f'WRONG: {check}'})"
    )
    return verdict


def _read_calls(environment: ChaosEnvironment) -> tuple[list[Delivery], dict[tuple[int, int], str]]:
    sends, last = [], {}
    for call in environment.telegram._server.state.outbox.calls():
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
    what = "album" if album else {"": "", "stop": "", "retry": "failure"}.get(action, "result")
    text = str(message.get("text") or message.get("caption") or "")
    answers = message.get("reply_to_message", {}).get("message_id", 0)
    return Delivery(at, message["chat"]["id"], message["message_id"], what, job, text, answers)


def _by_job(sends: list[Delivery], jobs: Mapping[str, dict[str, Any]]) -> dict[str, list[Delivery]]:
    """An album carries no button: it belongs to the order whose words reply to it, and one that has no such words
    to the order in its chat whose album came next."""
    by_job: dict[str, list[Delivery]] = defaultdict(list)
    albums = {(send.chat, send.message_id): send for send in sends if send.kind == "album"}
    owners = {(send.chat, send.answers): send.job for send in sends if send.job and send.answers}
    for send in sends:
        if send.job:
            by_job[send.job].append(send)
    for place, album in albums.items():
        later = sorted(where for where in owners if where[0] == place[0] and where[1] >= place[1])
        if later:
            by_job[owners[later[0]]].append(album)
    return by_job


def _offline_requests(environment: ChaosEnvironment, jobs: Mapping[str, dict[str, Any]]) -> Counter[str]:
    """By the seed, which follows from the job; voices by their names, which hold its id."""

    def seed(job: str, number: int) -> int:
        digest = sha256(f"{UUID(job)}:{number}".encode()).digest()
        return int.from_bytes(digest[:4]) % 2_000_000_000

    owners = {seed(job, number): f"{job}:start-{number}" for job in jobs for number in range(1, 5)}
    data = Path(environment.settings["DATA_DIR"])
    asked = Counter(owners[json.loads(p.read_bytes())["seed"]] for p in (data / "offline").glob("[!.]*.json"))
    voices = {job[-8:]: job for job in jobs}
    names = (json.loads(path.read_bytes())["name"] for path in (data / "voices").glob("own-*.json"))
    return asked + Counter(f"{voices[name.rpartition(' ')[2]]}:clone" for name in names)


def _replicate_requests(environment: ChaosEnvironment, starts: list[dict[str, Any]]) -> Counter[str]:
    """No two orders' inputs are alike: the seed, the trigger word or the photo is each one's own."""
    owners = {row["result"].get("value"): row["job_id"].hex for row in starts if row["result"]}
    alike: dict[str, list[str]] = defaultdict(list)
    for made in environment.replicate.predictions:
        alike[json.dumps([made.model, made.input], sort_keys=True)].append(made.id)
    known = {key: next((owners[i] for i in ids if i in owners), ids[0]) for key, ids in alike.items()}
    return Counter({f"{known[key]}:{number}": len(ids) for number, (key, ids) in enumerate(alike.items())})


def _told_correctly(job: dict[str, Any], told: list[Delivery]) -> bool:
    return {send.kind for send in told} <= {"result" if job["state"] == "succeeded" else "failure"}


def _progress_shows_end(evidence: Evidence, job: dict[str, Any]) -> bool:
    if job["state"] not in _ENDS:
        return True  # counted as lost
    shown = evidence.final_edits.get((job["chat_id"], job["progress_message_id"]), "")
    return chat_text(f"progress.{job['state']}", price=job["price"]) in shown


def _charged_once(evidence: Evidence, job_id: str, job: dict[str, Any]) -> bool:
    kinds = {kind: evidence.ledger_moves[job_id, kind] for kind in ("hold", "capture", "release")}
    settled = "capture" if job["state"] == "succeeded" else "release"
    return kinds == {"hold": 1, "capture": 0, "release": 0, settled: 1} or job["state"] not in _ENDS


async def _wrong_balances(environment: ChaosEnvironment, jobs: Mapping[str, dict[str, Any]]) -> list[str]:
    spent = Counter[int]()
    for job in jobs.values():
        spent[job["user_id"]] += job["price"] if job["state"] == "succeeded" else 0
    rows = await environment.rows("SELECT user_id, available, held FROM balances")
    return [
        f"person {r['user_id']}"
        for r in rows
        if (r["available"], r["held"]) != (WELCOME_CREDITS - spent[r["user_id"]], 0)
    ]


async def _lost_taps(evidence: Evidence, customers: Iterable[ChaosUser]) -> list[str]:
    """Taps on "Create" that are no job, and of which the person was not told that they are none."""
    keys = {job["order_key"] for job in evidence.jobs.values()}

    def told(tap: ConfirmTap) -> bool:
        words = (s for s in evidence.texts if s.chat == tap.user_id and s.at >= tap.at)
        return any(chat_text("failure.handler") in s.text for s in words) or any(
            q in evidence.toasts for q in tap.queries
        )

    return [f"{tap}" for one in customers for tap in one.taps if tap.key not in keys and not told(tap)]


def _delivered_twice(evidence: Evidence, job_id: str) -> bool:
    counts = Counter(send.kind for send in evidence.deliveries[job_id])
    return any(counts[what] > 1 for what in ("result", "failure", "album"))


def _excuse_for_duplicate(evidence: Evidence, job_id: str) -> str:
    """Whose death fell together with each send that was repeated: its answer came, and nobody could write it down.
    A process dies at a moment; a database is away for a while. Empty where nobody died."""

    def death(at: float) -> str:
        kills = (o for o in evidence.outages if o.kind is FaultKind.KILL)
        if any(abs(outage.started_at - at) <= COMMIT_WINDOW for outage in kills):
            return "process"
        away = (o for o in evidence.outages if o.kind in (FaultKind.POSTGRES_KILL, FaultKind.POSTGRES_STOP))
        return "database" if any(o.started_at - COMMIT_WINDOW <= at <= o.ended_at for o in away) else ""

    reasons = []
    for what in ("result", "failure", "album"):
        times = sorted(send.at for send in evidence.deliveries[job_id] if send.kind == what)
        reasons += [death(earlier) for earlier, _ in pairwise(times)]
    return min(reasons, default="")


async def describe_order(environment: ChaosEnvironment, evidence: Evidence, job_id: str) -> str:
    """All that is known of one order, in the order of time."""
    job = evidence.jobs.get(job_id)
    if job is None:
        return job_id
    uuid = UUID(job_id)
    events = await environment.rows("SELECT * FROM job_events WHERE job_id = $1", uuid)
    journal = await environment.rows("SELECT * FROM journal WHERE job_id = $1", uuid)
    moves = await environment.rows("SELECT kind, created_at FROM ledger_transactions WHERE job_id = $1", uuid)
    lines = [
        (e["at"].timestamp(), f"{e['kind']} · plan {e['plan']} · epoch {e['epoch']} {e['detail']}") for e in events
    ]
    for entry in journal:
        name = f"step {entry['step']} · plan {entry['plan']} · epoch {entry['epoch']}"
        lines.append((entry["started_at"].timestamp(), f"{name} begun"))
        if entry["ended_at"]:
            lines.append((entry["ended_at"].timestamp(), f"{name} ended: {str(entry['result'])[:90]}"))
    lines += [(move["created_at"].timestamp(), f"ledger: {move['kind']}") for move in moves]
    lines += [
        (send.at, f"Telegram took message {send.message_id}: {send.kind}") for send in evidence.deliveries[job_id]
    ]
    first = min(at for at, _ in lines)
    last = max(at for at, _ in lines)
    for outage in evidence.outages:
        if first - 2 <= outage.started_at <= last + 2:
            lines += [(outage.started_at, f"× {outage.kind}"), (outage.ended_at, f"× … is back: {outage.kind}")]
    ended = f"{job['state']} {job['failure'] or ''}"
    head = f"{uuid} {job['service']} of {job['user_id']}: {ended}, holder {job['holder']}"
    return "\n".join([head, *(f"  {at - first:8.3f} {text}" for at, text in sorted(lines))])
