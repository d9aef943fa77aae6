"""A secret planted in arguments and rows appears in no event, span, metric, exception or report."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT, RetryConfig
from agentmem_store.database import Database
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.query import Query
from agentmem_store.repositories import agents, messages, organizations
from agentmem_store.telemetry import observer, opentelemetry, prometheus
from tests.servers import admin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from agentmem_store.scope import Scope

CALLS = 10_000
TASKS = 8
SECRET = "xqzsecretzqx"
NUMBER = 918_273_645_546_372_819

VAULT = """
CREATE TABLE agentmem.vault (
    secret text NOT NULL UNIQUE CHECK (length(secret) < 40),
    number integer,
    parent text REFERENCES agentmem.vault (secret)
)
"""
# Each fails in its own way, and the server's words quote what it was given: in the message, in DETAIL or in CONTEXT.
KEEP = Query("test.keep", str, "INSERT INTO agentmem.vault (secret, parent) VALUES ($1, $2) RETURNING secret")
CASTS = [
    Query(f"test.cast_{number}", str, sql)
    for number, sql in enumerate(
        (
            "SELECT ($1::text::integer)::text",
            "SELECT ($1::text::uuid)::text",
            "SELECT ($1::text::timestamptz)::text",
            "SELECT ($1::text::jsonb)::text",
            "SELECT (($1::text || ' &')::tsquery)::text",
            "SELECT ($1::text || '(')::text ~ ($1::text || '(')",
            "SELECT convert_from(convert_to($1::text, 'UTF8') || '\\xff'::bytea, 'UTF8')",
        )
    )
]
NARROW = Query("test.narrow", int, "SELECT ($1::bigint)::integer")
TYPED = Query("test.typed", str, "SELECT $1::uuid::text || $2::integer || $3::timestamptz || $4::text")
SLEEP = Query("test.sleep", str, "SELECT $1::text || pg_sleep(600)::text")
IN_HASTE = Query("test.in_haste", str, "SELECT set_config('statement_timeout', '1', true)")
KILL = Query("test.kill", bool, "SELECT pg_terminate_backend(pg_backend_pid()) AND $1::text IS NULL")
COPY = Query("test.copy", int, "COPY agentmem.vault (secret, number) FROM STDIN")
ECHO = Query("test.echo", str, "SELECT secret FROM agentmem.vault WHERE secret <> $1")


@dataclass
class World:
    """What the calls work on, and all that came out of them as text."""

    db: Database
    scope: Scope
    agent_id: UUID
    chance: random.Random
    outcomes: Counter[str] = field(default_factory=Counter[str])

    def secret(self) -> str:
        return f"{SECRET}{self.chance.randrange(50)}"


async def keeps(world: World) -> None:
    parent = world.secret() if world.chance.random() < 0.5 else None
    await world.db.fetch_all(KEEP, world.chance.choice([world.secret(), SECRET * 5]), parent)


async def casts(world: World) -> None:
    await world.db.fetch_all(world.chance.choice(CASTS), world.secret())


async def overflows(world: World) -> None:
    await world.db.fetch_all(NARROW, NUMBER)


async def mistypes(world: World) -> None:
    wrong = [uuid4(), 1, None, "text"]
    wrong[world.chance.randrange(4)] = world.chance.choice([world.secret(), f"{SECRET}\ud800", [SECRET], {SECRET: 1}])
    await world.db.fetch_all(TYPED, *wrong)


async def reads(world: World) -> None:
    await world.db.fetch_all(ECHO, world.secret())


async def copies(world: World) -> None:
    async def lines() -> AsyncIterator[bytes]:
        yield f"{world.secret()}\t{world.secret()}\n".encode()

    async with world.scope.transaction() as tx:
        await tx.copy(COPY, lines())


async def times_out(world: World) -> None:
    async with world.db.transaction() as tx:
        await tx.fetch_all(IN_HASTE)
        await tx.fetch_all(SLEEP, world.secret())


async def is_cancelled(world: World) -> None:
    running = asyncio.create_task(world.db.fetch_all(SLEEP, world.secret()))
    for _ in range(world.chance.randrange(20)):
        await asyncio.sleep(0)
    running.cancel()
    await running


async def is_killed(world: World) -> None:
    await world.db.fetch_all(KILL, world.secret())


async def creates(world: World) -> None:
    metadata = {world.secret(): world.secret()}
    await agents.create(world.scope, NewAgent(name=world.secret(), system=world.secret(), metadata=metadata))


async def conflicts(world: World) -> None:
    if world.chance.random() < 0.5:
        await agents.create(world.scope, NewAgent(id=world.agent_id, name=world.secret()))
    changes = AgentChanges(name=world.secret())
    await agents.update(world.scope, world.agent_id, changes, expected_version=1_000_000)


async def is_invalid(world: World) -> None:
    if world.chance.random() < 0.5:
        NewAgent(name=SECRET * 100, metadata={SECRET: object()}, unknown=SECRET)  # type: ignore[call-arg]
    await agents.get(world.scope, SECRET)  # type: ignore[arg-type]


async def talks(world: World) -> None:
    await messages.append(world.scope, world.agent_id, [NewMessage(role="user", text=world.secret())])
    await messages.search(world.scope, world.agent_id, f"{world.secret()} & (", limit=3)


async def is_tried_again(world: World) -> None:
    async def work(tx: Scope) -> None:
        await tx.fetch_all(agents_by_secret(), world.secret())
        raise errors.TransactionRolledBack("again", sqlstate="40001")

    await world.scope.run(work, retry=RetryConfig(retries=1, base_ms=0.001))


def agents_by_secret() -> Query[str]:
    return Query("test.agents", str, "SELECT name FROM agentmem.agents WHERE organization_id = $1 AND name = $2")


ACTIONS: list[tuple[Callable[[World], Any], int]] = [
    (keeps, 20), (casts, 20), (overflows, 3), (mistypes, 10), (reads, 10), (copies, 10), (times_out, 3),
    (is_cancelled, 5), (is_killed, 1), (creates, 5), (conflicts, 5), (is_invalid, 5), (talks, 2), (is_tried_again, 1),
]  # fmt: skip


async def call(world: World, seen: list[str]) -> None:
    kinds, weights = zip(*ACTIONS, strict=True)
    (kind,) = world.chance.choices(kinds, weights)
    try:
        await kind(world)
        world.outcomes["ok"] += 1
    except (errors.AgentMemError, asyncio.CancelledError) as error:
        world.outcomes[type(error).__name__] += 1
        seen += told_by(error)


def told_by(error: BaseException) -> list[str]:
    """Everything that an application may print of an error, and of those that it was raised from."""
    told = traceback.format_exception(error)
    for each in chained(error):
        told += [str(each), repr(each), repr(each.args)]
        told += [f"{name}={value!r}" for name, value in vars(each).items() if name != "current"]
    return told


def chained(error: BaseException) -> list[BaseException]:
    found = [error]
    for each in found:
        found += [other for other in (each.__cause__, each.__context__) if other is not None and other not in found]
    return found


@pytest.mark.own_sessions
async def test_ten_thousand_random_calls_tell_no_secret(
    dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observer, "_QUIET_S", 0)  # every statement is logged
    caplog.set_level(logging.DEBUG)
    await admin(dsn, VAULT)
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    async with Database(dsn, DEVELOPMENT.with_(slow_query_ms=0, leak_after_s=1e-6)) as db:
        opentelemetry.instrument(db, meter_provider=meters, tracer_provider=tracers)
        organization = await organizations.create(db, NewOrganization(name=SECRET))
        scope = db.tenant(organization.id)
        agent = await agents.create(scope, NewAgent(name=SECRET))
        worlds = [World(db, scope, agent.id, random.Random(seed)) for seed in range(TASKS)]
        seen: list[str] = []

        async def work(world: World) -> None:
            for _ in range(CALLS // TASKS):
                await call(world, seen)

        with capture_logs() as logs:
            async with asyncio.TaskGroup() as group:
                for world in worlds:
                    group.create_task(work(world))
        reports = [db.stats(), db.queries(limit=1000), db.live(), await db.ready(30), await db.diagnose(30), db, scope]
        texts = [*seen, *map(str, logs), *map(repr, reports), prometheus.text(db), *caplog.messages]
    texts += [span.to_json() for span in exporter.get_finished_spans()]
    texts.append(str(reader.get_metrics_data()))
    check_that_enough_happened(sum((world.outcomes for world in worlds), Counter()), len(logs), len(seen))
    assert [text for text in texts if SECRET in text.lower() or str(NUMBER) in text][:3] == []


def check_that_enough_happened(outcomes: Counter[str], events: int, told: int) -> None:
    """Without these, the test would find nothing because there was nothing to find."""
    assert outcomes.total() == CALLS
    for kind in (
        "ok", "CancelledError", "Conflict", "ConstraintViolation", "DatabaseError", "StatementTimeout",
        "ValidationError", "ConnectionLost", "TransactionRolledBack",
    ):  # fmt: skip
        assert outcomes[kind] >= 20, json.dumps(outcomes)
    assert min(events, told) > CALLS / 2
