"""What a database tells of itself: whole events, statistics that add up, and docs/operations.md with all of it."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import agentmem_store
from agentmem_store import errors
from agentmem_store.analysis.slow import SlowPlans
from agentmem_store.config import DEVELOPMENT, RetryConfig
from agentmem_store.database import Database
from agentmem_store.migrations import runner
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.query import Query
from agentmem_store.repositories import agents, organizations
from agentmem_store.scope import Scope
from agentmem_store.telemetry import Statement, prometheus

PACKAGE = Path(agentmem_store.__file__).parent
OPERATIONS = (PACKAGE.parent / "docs" / "operations.md").read_text(encoding="utf-8")
SLEEP = Query("test.sleep", str, "SELECT pg_sleep(600)::text")
BROKEN = Query("test.broken", int, "SELECT 1 FROM agentmem.no_such_table")
ALWAYS_SLOW = DEVELOPMENT.with_(slow_query_ms=0)


async def slow(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(slow_queries={"organizations.count": 0})) as db:
        await organizations.count(db)


async def retry_scheduled(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT) as db:
        outcomes = iter([errors.TransactionRolledBack("try again", sqlstate="40001"), None])

        async def work(_: Scope) -> None:
            if error := next(outcomes):
                raise error

        organization = await organizations.create(db, NewOrganization(name="tenant"))
        await db.tenant(organization.id).run(work, retry=RetryConfig(base_ms=0.001))


async def oversized(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(processes=1000)):
        pass


async def leak(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(leak_after_s=1e-6)) as db, db.connection():
        db.pool._look_after()


async def migration_waits(dsn: str) -> None:
    busy = errors.MigrationFailed("a table was locked")
    busy.sqlstate = "55P03"
    outcomes = iter([busy, None])

    async def once() -> None:
        if error := next(outcomes):
            raise error

    async with runner.connection(dsn) as connection:
        await runner.kindly(connection, RetryConfig(base_ms=0.001), once)


async def plan_failed(dsn: str) -> None:
    plans = SlowPlans(dsn, DEVELOPMENT, lambda *_: None)
    plans.note(Statement(BROKEN, "ok", 0.0, 1.0, 0), ())
    await plans.settled()


# What brings each event about, in the docs' order.
EVENTS: dict[str, Callable[[str], Awaitable[None]]] = {
    "agentmem.query.slow": slow,
    "agentmem.retry.scheduled": retry_scheduled,
    "agentmem.pool.oversized": oversized,
    "agentmem.pool.leak": leak,
    "agentmem.pool.leak_returned": leak,
    "agentmem.migration.waits": migration_waits,
    "agentmem.plan.failed": plan_failed,
}


def documented() -> dict[str, tuple[str, set[str]]]:
    """Level and keys of each event, as the docs have them."""
    rows = re.findall(r"^\| `(agentmem\.[\w.]+)` \| (\w+) \|[^|]*\|([^|]*)\|$", OPERATIONS, re.MULTILINE)
    return {event: (level, set(re.findall(r"`(\w+)`", keys))) for event, level, keys in rows}


def in_the_code() -> set[str]:
    """Every event that some module logs."""
    calls = (
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    )
    texts = (call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant))
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"agentmem\.\w+\.\w+", text)}


def test_the_docs_have_every_event() -> None:
    assert set(documented()) == in_the_code() == set(EVENTS)


@pytest.mark.own_sessions
@pytest.mark.parametrize("event", EVENTS)
async def test_an_event_is_as_the_docs_have_it(dsn: str, event: str) -> None:
    with capture_logs() as logs:
        await EVENTS[event](dsn)
    (told,) = [log for log in logs if log["event"] == event]
    level, keys = documented()[event]
    assert (told["log_level"], set(told)) == (level, keys | {"event", "log_level"})


async def test_a_slow_statement_is_one_event_without_a_value(dsn: str) -> None:
    async with Database(dsn, ALWAYS_SLOW) as db:
        organization = await organizations.create(db, NewOrganization(name="tenant"))
        with capture_logs() as logs:
            await agents.find_by_name(db.tenant(organization.id), "planted-secret")
    (event,) = logs
    assert "planted-secret" not in repr(event)
    assert (event.pop("duration_ms") > 0, event.pop("wait_ms") >= 0) == (True, True)
    assert re.fullmatch(rf"{re.escape(__name__)}:\d+", event.pop("caller"))
    assert event.pop("pool").keys() == {"size", "in_use", "waiting"}
    assert event == {
        "event": "agentmem.query.slow",
        "log_level": "warning",
        "query": "agents.oldest_by_name",
        "outcome": "ok",
        "rows": 0,
        "args": ["uuid", "text[14]"],
        "suppressed": 0,
    }


async def test_a_fast_statement_is_not_logged(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(slow_query_ms=60_000)) as db:
        with capture_logs() as logs:
            assert await organizations.count(db) == 0
    assert logs == []


async def test_statements_add_up_at_any_time(db: Database, tenant: Scope) -> None:
    await agents.create(tenant, NewAgent(name="planner"))
    with pytest.raises(errors.DatabaseError):
        await db.fetch_all(BROKEN)
    running = asyncio.create_task(db.fetch_all(SLEEP))
    while not db.stats().in_use:
        await asyncio.sleep(0)
    before = db.stats().statements
    assert (before.running, before.cancelled) == (1, 0)
    running.cancel()
    await asyncio.wait([running])
    after = db.stats().statements
    assert (after.running, after.cancelled, after.failed, after.ok) == (0, 1, 1, before.ok)
    assert after.started == after.ok + after.failed + after.cancelled
    assert dict(after.errors) == {"42": 1}


async def test_a_statement_that_found_no_connection_failed(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(min_size=1, max_size=1, acquire_timeout_s=0.01)) as db:
        async with db.connection():
            failing = asyncio.create_task(organizations.count(db))
            await asyncio.wait([failing])
        assert isinstance(failing.exception(), errors.PoolTimeout)
        statements = db.stats().statements
    assert (statements.started, statements.failed) == (1, 1)
    assert (dict(statements.errors), dict(statements.timeouts)) == ({"PoolTimeout": 1}, {"acquire": 1})


async def test_queries_tell_calls_rows_errors_and_times(db: Database, tenant: Scope) -> None:
    for number in range(3):
        await agents.create(tenant, NewAgent(name=f"agent {number}"))
    with pytest.raises(errors.DatabaseError):
        await db.fetch_all(BROKEN)
    by_name = {stats.query: stats for stats in db.queries()}
    created, broken = by_name["agents.create"], by_name["test.broken"]
    assert (created.calls, created.rows, created.errors) == (3, 3, 0)
    assert 0 < created.run.min <= created.run.p50 <= created.run.p99 <= created.run.max
    assert (created.run.count, created.wait.count) == (3, 3)
    assert (broken.calls, broken.rows, broken.errors) == (1, 0, 1)
    db.reset_queries()
    assert db.queries() == []
    with pytest.raises(errors.ValidationError):
        db.queries(limit=0)


async def test_what_runs_in_a_transaction_is_observed_too(tenant: Scope, db: Database) -> None:
    async with tenant.transaction() as tx:
        await agents.create(tx, NewAgent(name="planner"))
        with pytest.raises(errors.DatabaseError):
            async with tx.transaction() as inner:
                await inner.fetch_all(BROKEN)
    statements = db.stats().statements
    assert (statements.failed, statements.running) == (1, 0)


async def test_the_docs_have_every_metric(db: Database) -> None:
    table = OPERATIONS[OPERATIONS.index("| metric, behind") : OPERATIONS.index("## OpenTelemetry")]
    rows = re.findall(r"^\| (`.*?) \| (gauge|counter|histogram) \|", table, re.MULTILINE)
    named = {(name, kind) for names, kind in rows for name in re.findall(r"`(\w+)`", names)}
    told = re.findall(r"^# TYPE agentmem_(\w+) (\w+)$", prometheus.text(db), re.MULTILINE)
    assert {(name.removesuffix("_total"), kind) for name, kind in told} == named


async def test_the_docs_have_every_check(db: Database) -> None:
    table = OPERATIONS[OPERATIONS.index("| check |") : OPERATIONS.index("## Statistics")]
    rows: dict[str, Any] = {
        name: set(places.split(", ")) for name, places in re.findall(r"^\| `(\w+)` \| ([^|]*) \|", table, re.MULTILINE)
    }
    for place, found in {"live": db.live(), "ready": await db.ready(30), "diagnose": await db.diagnose(30)}.items():
        assert {name for name, places in rows.items() if place in places} == {check.name for check in found.checks}
