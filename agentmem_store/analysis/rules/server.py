"""Rules about the server and what goes on in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agentmem_store.analysis.advice import Advice, Severity
from agentmem_store.analysis.rules.base import Facts, Rule
from agentmem_store.analysis.words import size
from agentmem_store.statements import analysis as statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agentmem_store.models.analysis import SessionFacts

__all__ = ["BLOCKED", "CONNECTIONS", "IDLE_TRANSACTION", "LONG_TRANSACTION", "TEMP_FILES"]


def _temp(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    database = facts.database
    days = max(database.statistics_s / 86_400, 1)
    if database.temp_files < limits["files"] or database.temp_bytes / days < limits["bytes_a_day"]:
        return
    yield Advice(
        rule="temp_files",
        severity="warning",
        subject="work_mem",
        message=f"queries wrote {database.temp_files:,} temporary files, {size(database.temp_bytes)}: what they sort "
        f"or hash does not fit into work_mem = {database.work_mem}",
        evidence={"files": database.temp_files, "bytes": database.temp_bytes, "work_mem": database.work_mem,
                  "days": round(days, 1)},
    )  # fmt: skip


def _is_idle(session: SessionFacts) -> bool:
    return session.state.startswith("idle in transaction")


def _named(session: SessionFacts) -> str:
    return f"process {session.pid} ({session.application or 'unnamed'})"


def _severity(seconds: float, limits: Mapping[str, float]) -> Severity:
    return "critical" if seconds >= limits["critical_s"] else "warning"


def _long(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    for session in facts.sessions:
        if session.transaction_s >= limits["seconds"] and not _is_idle(session):
            yield Advice(
                rule="long_transaction",
                severity=_severity(session.transaction_s, limits),
                subject=_named(session),
                message=f"a transaction has been open for {session.transaction_s:,.0f} s: vacuum cannot remove what it "
                f"may still see. `SELECT pg_cancel_backend({session.pid})` cancels its statement",
                evidence={"pid": session.pid, "seconds": round(session.transaction_s, 1), "state": session.state},
            )


def _idle(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    for session in facts.sessions:
        if session.state_s >= limits["seconds"] and _is_idle(session):
            yield Advice(
                rule="idle_transaction",
                severity=_severity(session.state_s, limits),
                subject=_named(session),
                message=f"a transaction has done nothing for {session.state_s:,.0f} s and keeps its locks: the "
                f"application waits for something else within it. `SELECT pg_terminate_backend({session.pid})` ends it",
                evidence={"pid": session.pid, "seconds": round(session.state_s, 1), "state": session.state},
            )


def _blocked(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    waiting = {each.pid: each for each in facts.sessions if each.blockers}
    roots = {pid for each in waiting.values() for pid in each.blockers if pid not in waiting}
    known = {each.pid: each for each in facts.sessions}
    for root in sorted(roots):
        tree = _held_up_by(root, waiting, frozenset())
        longest = max(waiting[pid].waits_s for pid in _pids(tree))
        if longest < limits["seconds"]:
            continue
        count = len(set(_pids(tree)))
        who = _named(known[root]) if root in known else f"process {root}"
        doing = f", {known[root].state} for {known[root].state_s:,.0f} s," if root in known else ""
        yield Advice(
            rule="blocked",
            severity=_severity(longest, limits),
            subject=who,
            message=f"{who}{doing} holds up {count} others, the longest for {longest:,.1f} s: {_drawn(tree)}",
            evidence={"pid": root, "blocked": count, "longest_s": round(longest, 1), "tree": {str(root): tree}},
        )


def _held_up_by(pid: int, waiting: Mapping[int, SessionFacts], above: frozenset[int]) -> dict[str, Any]:
    """Return who waits for a process, and who waits for those."""
    within = above | {pid}
    held = (each for each in waiting.values() if pid in each.blockers and each.pid not in within)
    return {str(each.pid): _held_up_by(each.pid, waiting, within) for each in held}


def _pids(tree: Mapping[str, Any]) -> Iterator[int]:
    for pid, inner in tree.items():
        yield int(pid)
        yield from _pids(inner)


def _drawn(tree: Mapping[str, Any]) -> str:
    return ", ".join(f"{pid} ({_drawn(inner)})" if inner else pid for pid, inner in tree.items())


def _connections(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    database, used = facts.database, facts.database.connected / max(facts.database.room, 1)
    evidence = {"pool": facts.pool_size, "room": database.room, "connected": database.connected}
    if facts.pool_size > database.room:
        said = f"the pools may open {facts.pool_size} connections and the server takes {database.room}"
        severity: Severity = "critical"
    elif used >= limits["used"]:
        said = f"{database.connected} of the server's {database.room} connections are in use"
        severity = "warning"
    else:
        return
    yield Advice(
        rule="connections",
        severity=severity,
        subject="max_connections",
        message=f"{said}: lower max_size (see PoolConfig.fit), put a pooler between, or raise max_connections",
        evidence=evidence,
    )


TEMP_FILES: Final = Rule(
    "temp_files",
    "A sort or hash that does not fit into work_mem goes through files. `agentmem-store explain NAME` shows which.",
    (statements.DATABASE,),
    {"files": 100, "bytes_a_day": 104_857_600},
    _temp,
)
LONG_TRANSACTION: Final = Rule(
    "long_transaction",
    "While a transaction is open, vacuum removes nothing that was deleted since it began, in any table.",
    (statements.SESSIONS,),
    {"seconds": 60, "critical_s": 3_600},
    _long,
)
IDLE_TRANSACTION: Final = Rule(
    "idle_transaction",
    "An open transaction that does nothing keeps locks, a connection and old rows. idle_in_transaction_session_timeout "
    "ends such ones.",
    (statements.SESSIONS,),
    {"seconds": 60, "critical_s": 600},
    _idle,
)
BLOCKED: Final = Rule(
    "blocked",
    "Who waits for whom: the tree begins with a process that waits for nobody, which is the one to look at.",
    (statements.SESSIONS,),
    {"seconds": 1, "critical_s": 60},
    _blocked,
)
CONNECTIONS: Final = Rule(
    "connections",
    "Each process of an application has a pool of its own; all of them together have to fit into max_connections.",
    (statements.DATABASE,),
    {"used": 0.8},
    _connections,
)
