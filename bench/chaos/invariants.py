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

from bench.chaos.environment import STARS, ChaosStage
from bench.chaos.faults import Chaos, Kind, Outage
from bench.chaos.users import Customer, Tap
from storage.money.ledger import check_ledger, ledger_totals
from tests.support.environments.environment import said

WRITTEN_WITHIN = 1.0
"""Seconds after Telegram's answer within which a runner that lives has written it down, on a busy machine."""
_ENDS = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Send:
    """Something that reached a chat. `what` is result, failure, album, or nothing of an order's end."""

    at: float
    chat: int
    message_id: int
    what: str
    job: str
    text: str
    answers: int = 0
    """The message that it replies to."""


@dataclass
class Verdict:
    """The counts of the table, and the jobs (by id) that broke a promise, each with what is wrong."""

    counts: dict[str, int | str] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    noted: dict[str, str] = field(default_factory=dict)
    """Jobs that were delivered twice as nobody could help it, each with what died."""
    ledger_right: bool = True

    @property
    def kept(self) -> bool:
        return not self.broken and self.ledger_right

    def blame(self, what: str, jobs: Iterable[str]) -> None:
        blamed = list(jobs)
        self.counts[what] = len(blamed)
        for job in blamed:
            self.broken[job].append(what)


@dataclass
class Evidence:
    """All that is judged, gathered once everything has ended."""

    jobs: dict[str, dict[str, Any]]
    moves: Counter[tuple[str, str]]
    """How many moves of the ledger a job has, by kind."""
    sends: dict[str, list[Send]]
    asked: Counter[str]
    """How often each piece of a job's work was asked for at a provider, by `job:piece`."""
    outages: list[Outage]
    last_words: dict[tuple[int, int], str]
    """What each edited message says in the end, by chat and message."""
    said: list[Send]
    toasts: set[str]
    """The taps that were answered in words."""


async def gather(chaos: Chaos) -> Evidence:
    stage = chaos.stage
    jobs = {
        row["id"].hex: row for row in await stage.rows("SELECT * FROM jobs WHERE NOT errand ORDER BY created_at")
    }
    moves = await stage.rows("SELECT job_id, kind FROM ledger_transactions WHERE job_id IS NOT NULL")
    said_all, last_words = _read_calls(stage)
    starts = await stage.rows("SELECT job_id, result FROM journal WHERE starts_with(step, 'start-')")
    return Evidence(
        jobs=jobs,
        moves=Counter((row["job_id"].hex, row["kind"]) for row in moves),
        sends=_by_job(said_all, jobs),
        asked=_asked_offline(stage, jobs) if stage.offline else _asked_at_stand(stage, starts),
        outages=chaos.outages,
        last_words=last_words,
        said=said_all,
        toasts={
            call.params["callback_query_id"]
            for call in stage.telegram._stand.world.outbox.calls("answerCallbackQuery")
            if call.status == 200 and call.params.get("text")
        },
    )


async def judge(chaos: Chaos, evidence: Evidence, customers: Iterable[Customer]) -> Verdict:
    verdict, jobs = Verdict(), evidence.jobs
    states = Counter(job["state"] for job in jobs.values())
    verdict.counts["orders taken"] = len(jobs)
    verdict.counts |= {f"… {state}": states[state] for state in _ENDS}
    told = {id_: [s for s in evidence.sends[id_] if s.what in ("result", "failure")] for id_ in jobs}
    verdict.blame("LOST: never ended", (id_ for id_, job in jobs.items() if job["state"] not in _ENDS))
    verdict.blame("LOST: ended, and the person was not told", (id_ for id_ in jobs if not told[id_]))
    verdict.blame(
        "told otherwise than it ended", (i for i, job in jobs.items() if not _told_rightly(job, told[i]))
    )
    verdict.blame("whose card does not say the end", (i for i, j in jobs.items() if not _says_end(evidence, j)))
    verdict.blame("LOST: taps that became nothing, unsaid", await _lost_taps(evidence, customers))
    verdict.blame(
        "CHARGED TWICE, or not settled once", (i for i, j in jobs.items() if not _charged_once(evidence, i, j))
    )
    verdict.blame("whose balance is wrong (people)", await _wrong_balances(chaos.stage, jobs))
    verdict.blame(
        "PROVIDER ASKED TWICE", {piece.partition(":")[0] for piece, n in evidence.asked.items() if n > 1}
    )
    doubled = {id_: _why_twice(evidence, id_) for id_ in jobs if _doubled(evidence, id_)}
    why = Counter(doubled.values())
    verdict.noted = {id_: f"delivered twice, as a {reason} died" for id_, reason in doubled.items() if reason}
    verdict.counts["delivered twice: a process died between Telegram's answer and our commit"] = why["process"]
    verdict.counts["delivered twice: PostgreSQL was away between the two"] = why["database"]
    verdict.blame("DELIVERED TWICE", (id_ for id_, reason in doubled.items() if not reason))
    verdict.blame("processes that did not stop when told to", (f"one of {n + 1}" for n in range(chaos.stuck)))
    check = await check_ledger(chaos.stage.db)
    totals = await ledger_totals(chaos.stage.db)
    verdict.ledger_right = check.right and sum(totals.values()) == 0 and totals.get("held", 0) == 0
    verdict.counts["ledger sum"] = (
        f"{sum(totals.values())} ({'right' if verdict.ledger_right else f'WRONG: {check}'})"
    )
    return verdict


def _read_calls(stage: ChaosStage) -> tuple[list[Send], dict[tuple[int, int], str]]:
    sends, last = [], {}
    for call in stage.telegram._stand.world.outbox.calls():
        if call.status != 200 or not call.method.startswith(("send", "editMessageText")):
            continue
        result = json.loads(call.body)["result"]
        if call.method == "editMessageText":
            last[result["chat"]["id"], result["message_id"]] = result["text"]
        else:
            album = call.method == "sendMediaGroup"
            sends.append(_send(call.time, result[0] if album else result, album=album))
    return sends, last


def _send(at: float, message: Mapping[str, Any], *, album: bool) -> Send:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    taps = [
        b["callback_data"].split(":") for row in rows for b in row if b.get("callback_data", "").startswith("r:")
    ]
    _, job, action = taps[0] if taps else ("", "", "")
    what = "album" if album else {"": "", "stop": "", "retry": "failure"}.get(action, "result")
    text = str(message.get("text") or message.get("caption") or "")
    answers = message.get("reply_to_message", {}).get("message_id", 0)
    return Send(at, message["chat"]["id"], message["message_id"], what, job, text, answers)


def _by_job(sends: list[Send], jobs: Mapping[str, dict[str, Any]]) -> dict[str, list[Send]]:
    """An album carries no button: it belongs to the order whose words reply to it, and one that has no such words
    to the order in its chat whose album came next."""
    by_job: dict[str, list[Send]] = defaultdict(list)
    albums = {(send.chat, send.message_id): send for send in sends if send.what == "album"}
    owners = {(send.chat, send.answers): send.job for send in sends if send.job and send.answers}
    for send in sends:
        if send.job:
            by_job[send.job].append(send)
    for place, album in albums.items():
        later = sorted(where for where in owners if where[0] == place[0] and where[1] >= place[1])
        if later:
            by_job[owners[later[0]]].append(album)
    return by_job


def _asked_offline(stage: ChaosStage, jobs: Mapping[str, dict[str, Any]]) -> Counter[str]:
    """By the seed, which follows from the job; voices by their names, which hold its id."""

    def seed(job: str, number: int) -> int:
        digest = sha256(f"{UUID(job)}:{number}".encode()).digest()
        return int.from_bytes(digest[:4]) % 2_000_000_000

    owners = {seed(job, number): f"{job}:start-{number}" for job in jobs for number in range(1, 5)}
    data = Path(stage.settings["DATA_DIR"])
    asked = Counter(owners[json.loads(p.read_bytes())["seed"]] for p in (data / "offline").glob("[!.]*.json"))
    voices = {job[-8:]: job for job in jobs}
    names = (json.loads(path.read_bytes())["name"] for path in (data / "voices").glob("own-*.json"))
    return asked + Counter(f"{voices[name.rpartition(' ')[2]]}:clone" for name in names)


def _asked_at_stand(stage: ChaosStage, starts: list[dict[str, Any]]) -> Counter[str]:
    """No two orders' inputs are alike: the seed, the trigger word or the photo is each one's own."""
    owners = {row["result"].get("value"): row["job_id"].hex for row in starts if row["result"]}
    alike: dict[str, list[str]] = defaultdict(list)
    for made in stage.replicate.predictions:
        alike[json.dumps([made.model, made.input], sort_keys=True)].append(made.id)
    known = {key: next((owners[i] for i in ids if i in owners), ids[0]) for key, ids in alike.items()}
    return Counter({f"{known[key]}:{number}": len(ids) for number, (key, ids) in enumerate(alike.items())})


def _told_rightly(job: dict[str, Any], told: list[Send]) -> bool:
    return {send.what for send in told} <= {"result" if job["state"] == "succeeded" else "failure"}


def _says_end(evidence: Evidence, job: dict[str, Any]) -> bool:
    if job["state"] not in _ENDS:
        return True  # counted as lost
    shown = evidence.last_words.get((job["chat_id"], job["progress_message_id"]), "")
    return said(f"progress.{job['state']}", price=job["price"]) in shown


def _charged_once(evidence: Evidence, job_id: str, job: dict[str, Any]) -> bool:
    kinds = {kind: evidence.moves[job_id, kind] for kind in ("hold", "capture", "release")}
    settled = "capture" if job["state"] == "succeeded" else "release"
    return kinds == {"hold": 1, "capture": 0, "release": 0, settled: 1} or job["state"] not in _ENDS


async def _wrong_balances(stage: ChaosStage, jobs: Mapping[str, dict[str, Any]]) -> list[str]:
    spent = Counter[int]()
    for job in jobs.values():
        spent[job["user_id"]] += job["price"] if job["state"] == "succeeded" else 0
    rows = await stage.rows("SELECT user_id, available, held FROM balances")
    return [
        f"person {r['user_id']}" for r in rows if (r["available"], r["held"]) != (STARS - spent[r["user_id"]], 0)
    ]


async def _lost_taps(evidence: Evidence, customers: Iterable[Customer]) -> list[str]:
    """Taps on "Create" that are no job, and of which the person was not told that they are none."""
    keys = {job["order_key"] for job in evidence.jobs.values()}

    def told(tap: Tap) -> bool:
        words = (s for s in evidence.said if s.chat == tap.person and s.at >= tap.at)
        return any(said("failure.handler") in s.text for s in words) or any(
            q in evidence.toasts for q in tap.queries
        )

    return [f"{tap}" for one in customers for tap in one.taps if tap.key not in keys and not told(tap)]


def _doubled(evidence: Evidence, job_id: str) -> bool:
    counts = Counter(send.what for send in evidence.sends[job_id])
    return any(counts[what] > 1 for what in ("result", "failure", "album"))


def _why_twice(evidence: Evidence, job_id: str) -> str:
    """Whose death fell together with each send that was repeated: its answer came, and nobody could write it down.
    A process dies at a moment; a database is away for a while. Empty where nobody died."""

    def death(at: float) -> str:
        kills = (o for o in evidence.outages if o.kind is Kind.KILL)
        if any(abs(outage.begun - at) <= WRITTEN_WITHIN for outage in kills):
            return "process"
        away = (o for o in evidence.outages if o.kind in (Kind.POSTGRES_KILL, Kind.POSTGRES_STOP))
        return "database" if any(o.begun - WRITTEN_WITHIN <= at <= o.ended for o in away) else ""

    reasons = []
    for what in ("result", "failure", "album"):
        times = sorted(send.at for send in evidence.sends[job_id] if send.what == what)
        reasons += [death(earlier) for earlier, _ in pairwise(times)]
    return min(reasons, default="")


async def story(stage: ChaosStage, evidence: Evidence, job_id: str) -> str:
    """All that is known of one order, in the order of time."""
    job = evidence.jobs.get(job_id)
    if job is None:
        return job_id
    uuid = UUID(job_id)
    events = await stage.rows("SELECT * FROM job_events WHERE job_id = $1", uuid)
    journal = await stage.rows("SELECT * FROM journal WHERE job_id = $1", uuid)
    moves = await stage.rows("SELECT kind, created_at FROM ledger_transactions WHERE job_id = $1", uuid)
    lines = [
        (e["at"].timestamp(), f"{e['kind']} · plan {e['plan']} · epoch {e['epoch']} {e['detail']}") for e in events
    ]
    for entry in journal:
        name = f"step {entry['step']} · plan {entry['plan']} · epoch {entry['epoch']}"
        lines.append((entry["begun_at"].timestamp(), f"{name} begun"))
        if entry["ended_at"]:
            lines.append((entry["ended_at"].timestamp(), f"{name} ended: {str(entry['result'])[:90]}"))
    lines += [(move["created_at"].timestamp(), f"ledger: {move['kind']}") for move in moves]
    lines += [
        (send.at, f"Telegram took message {send.message_id}: {send.what}") for send in evidence.sends[job_id]
    ]
    first = min(at for at, _ in lines)
    last = max(at for at, _ in lines)
    for outage in evidence.outages:
        if first - 2 <= outage.begun <= last + 2:
            lines += [(outage.begun, f"× {outage.kind}"), (outage.ended, f"× … is back: {outage.kind}")]
    ended = f"{job['state']} {job['failure'] or ''}"
    head = f"{uuid} {job['service']} of {job['user_id']}: {ended}, holder {job['holder']}"
    return "\n".join([head, *(f"  {at - first:8.3f} {text}" for at, text in sorted(lines))])
