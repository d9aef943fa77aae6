"""No value of an argument is ever part of a statement's text: texts end in logs and in the server's statistics."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from agentmem_store import analysis, errors
from agentmem_store.analysis.slow import SlowPlans
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.query import Query
from agentmem_store.repositories import agents
from agentmem_store.telemetry import Statement
from tests.proxy import proxied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentmem_store.scope import Scope

SECRET = 'it\'s \\ "planted"\nsecret'
PLAINLY = "planted"
NUMBER = UUID("0192f0c1-5ec7-7e7e-8e7e-0123456789ab")
MINUTE = datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
# One row comes if every argument arrives as it was given.
ARRIVES = Query("test.arrives", int, """
SELECT 1
WHERE md5($1::text) = $2
  AND md5($3::bytea) = $4
  AND $5::uuid = ANY ($6::uuid[])
  AND $7::float8 = ANY ($8::float8[])
  AND $9::timestamptz = ($10::jsonb ->> 'at')::timestamptz
  AND $11::text IS NULL
  AND $12::text = ''
  AND $1 = ANY ($13::text[])
  AND cardinality($13) = 3
""")  # fmt: skip
FIND = Query("test.find", str, "SELECT a.name FROM agentmem.agents AS a WHERE a.name = $1")
FIND_IN = Query(
    "test.find_in",
    str,
    """
SELECT a.name
FROM agentmem.agents AS a
WHERE a.organization_id = $1
  AND a.name = $2
""",
)
LEFT = Query(
    "test.left",
    str,
    """
SELECT coalesce(current_setting('agentmem.argument_2', true), '')
WHERE $1::uuid IS NOT NULL
""",
)


def given() -> list[Any]:
    raw = bytes(range(256))
    return [
        SECRET, hashlib.md5(SECRET.encode()).hexdigest(), raw, hashlib.md5(raw).hexdigest(), NUMBER, [NUMBER, None],
        0.1 + 0.2, [0.1 + 0.2], MINUTE, f'{{"at": "{MINUTE.isoformat()}"}}', None, "", ["", SECRET, None],
    ]  # fmt: skip


class Wire:
    """What went from a client to the server: the texts of statements, and the values that were bound to them."""

    def __init__(self) -> None:
        self.texts, self.values = b"", b""

    def note(self, kind: bytes, body: bytes) -> bool:
        if kind in {b"P", b"Q"}:
            self.texts += body
        elif kind == b"B":
            self.values += body
        return False

    def has_told(self, value: bytes) -> tuple[bool, bool]:
        """Whether a value was in a text, and whether it was bound."""
        return value in self.texts, value in self.values


@asynccontextmanager
async def listening(dsn: str) -> AsyncIterator[tuple[Wire, str]]:
    async with proxied(dsn) as (proxy, through):
        wire = Wire()
        proxy.drop_before = wire.note
        yield wire, through


@pytest.mark.parametrize("generic", [False, True])
async def test_every_argument_arrives_as_it_was_given(db: Database, generic: bool) -> None:
    plan = await analysis.explain(db, ARRIVES, *given(), analyze=True, generic=generic)
    assert plan.root.actual_rows == 1
    wrong = [*given()[:-1], ["", SECRET]]
    assert (await analysis.explain(db, ARRIVES, *wrong, analyze=True, generic=generic)).root.actual_rows == 0


@pytest.mark.own_sessions
@pytest.mark.parametrize(("analyze", "generic", "bound"), [
    (False, False, True), (True, False, True), (True, True, True), (False, True, False),
])  # fmt: skip
async def test_arguments_travel_beside_the_text(dsn: str, analyze: bool, generic: bool, bound: bool) -> None:
    async with listening(dsn) as (wire, through), Database(through, DEVELOPMENT) as db:
        await analysis.explain(db, ARRIVES, *given(), analyze=analyze, generic=generic)
    assert b"WHERE md5($1::text) = $2" in wire.texts
    assert wire.has_told(PLAINLY.encode()) == (False, bound)


@pytest.mark.own_sessions
async def test_the_arguments_of_a_slow_statement_travel_beside_the_text(dsn: str) -> None:
    kept = []
    async with listening(dsn) as (wire, through):
        plans = SlowPlans(through, DEVELOPMENT, lambda *each: kept.append(each))
        plans.note(Statement(FIND, "ok", 0.0, 1.5, 1), (SECRET,))
        await plans.settled()
        await plans.close()
    assert [name for name, _ in kept] == ["test.find"]
    assert wire.has_told(PLAINLY.encode()) == (False, True)


@pytest.mark.own_sessions
async def test_arguments_of_what_is_captured_travel_beside_the_text(dsn: str, tenant: Scope) -> None:
    async with listening(dsn) as (wire, through), Database(through, DEVELOPMENT) as db:
        scope = db.tenant(tenant.organization_id)
        async with analysis.capture(scope, analyze=True) as seen:
            await agents.create(seen.scope, NewAgent(name=PLAINLY))
            await agents.list(seen.scope, name=PLAINLY)
    assert len(seen.plans) == 2
    assert wire.has_told(PLAINLY.encode()) == (False, True)


async def test_no_argument_is_left_in_the_transaction(scope: Scope) -> None:
    plan = await analysis.explain(scope, FIND_IN, SECRET, analyze=True, generic=True)
    assert plan.analyzed
    assert await scope.fetch_all(LEFT) == [""]


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("args", [(), ("a", "b")])
async def test_more_or_fewer_arguments_are_refused(db: Database, generic: bool, args: tuple[str, ...]) -> None:
    with pytest.raises(errors.AgentMemError) as caught:
        await analysis.explain(db, FIND, *args, analyze=True, generic=generic)
    assert not isinstance(caught.value, errors.ConnectionLost)
