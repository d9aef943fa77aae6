from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agentmem_store import analysis, errors, migrations
from agentmem_store.analysis.slow import SlowPlans
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.query import Query
from agentmem_store.repositories import agents, messages, organizations
from agentmem_store.statements import messages as statements
from agentmem_store.telemetry import Statement
from tests.clusters import clusters, why_no_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentmem_store.models.plans import SlowPlan
    from agentmem_store.scope import Scope

SECRET = "planted-secret"
FIND = Query("test.find", str, "SELECT a.name FROM agentmem.agents AS a WHERE a.name = $1")
STORE = Query("test.store", str, "UPDATE agentmem.agents AS a SET name = $1 WHERE a.name = $1 RETURNING a.name")


async def test_without_an_extension_statistics_are_those_of_the_process(db: Database, tenant: Scope) -> None:
    for _ in range(3):
        await agents.count(tenant)
    found = await analysis.statistics(db, order="frequent", limit=1)
    (line,) = found.queries
    assert (line.query, line.calls) == ("agents.count", 3)
    assert line.process is not None
    assert line.server is None
    assert found.capabilities.pg_stat_statements in {"absent", "available", "installed"}


@pytest.mark.parametrize(("order", "limit"), [("dearest", 5), ("total", 0), ("total", 1_001)])
async def test_an_order_or_a_limit_that_is_none_is_refused(db: Database, order: str, limit: int) -> None:
    with pytest.raises(errors.ValidationError):
        await analysis.statistics(db, order=order, limit=limit)  # type: ignore[arg-type]


@pytest.mark.own_sessions
async def test_the_servers_statistics_are_joined_by_the_names_of_queries() -> None:
    """As of all processes: what another one ran counts, and what this one ran is told beside it."""
    if reason := why_no_cluster():
        pytest.skip(reason)
    with clusters("counted") as (cluster,):
        cluster.make()
        cluster.start("shared_preload_libraries=pg_stat_statements")
        dsn = f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres"
        await migrations.up(dsn)
        async with Database(dsn, DEVELOPMENT) as db, Database(dsn, DEVELOPMENT) as other:
            assert (await analysis.statistics(db)).capabilities.pg_stat_statements == "available"
            async with db.connection() as connection:
                await connection.execute("CREATE EXTENSION pg_stat_statements")
            for each in (db, other, other):
                await organizations.count(each)
            found = await analysis.statistics(db, order="frequent", limit=1_000)
    assert found.capabilities.pg_stat_statements == "usable"
    line = next(line for line in found.queries if line.query == "organizations.count")
    assert line.server is not None
    assert line.process is not None
    assert (line.server.calls, line.process.calls) == (3, 1)
    assert line.mean_ms == line.server.mean_ms > 0


class Slow:
    """Slow plans of a database, and a clock that stands still until it is set."""

    def __init__(self, db: Database) -> None:
        self.now = 0.0
        self.kept: list[tuple[str, SlowPlan]] = []
        config = DEVELOPMENT.with_(slow_query_ms=0)
        self.plans = SlowPlans(db.dsn, config, lambda *kept: self.kept.append(kept), clock=lambda: self.now)

    async def note(self, query: Query[str], *args: object) -> list[str]:
        """Note a slow call and return the names of the plans that are kept by then."""
        self.plans.note(Statement(query, "ok", 0.0, 1.5, 1), args)
        await self.plans.settled()
        return [name for name, _ in self.kept]


@pytest.fixture
async def slow(db: Database) -> AsyncIterator[Slow]:
    made = Slow(db)
    yield made
    await made.plans.close()


@pytest.mark.own_sessions
async def test_a_slow_read_is_explained_without_its_values(slow: Slow) -> None:
    assert await slow.note(FIND, SECRET) == ["test.find"]
    ((_, found),) = slow.kept
    assert (found.run_s, found.plan.generic, found.for_its_arguments.generic) == (1.5, True, False)
    text = found.model_dump_json()
    assert SECRET not in text
    assert "(a.name = $1)" in text, "the plan that ran"
    assert "(a.name = ?::text)" in text, "and that for its arguments"
    assert not found.plan.analyzed


@pytest.mark.own_sessions
async def test_a_query_is_explained_at_most_once_a_minute(slow: Slow) -> None:
    assert len(await slow.note(FIND, "a")) == 1
    slow.now = 59.9
    assert len(await slow.note(FIND, "b")) == 1
    slow.now = 60.0
    assert len(await slow.note(FIND, "c")) == 2


@pytest.mark.own_sessions
async def test_what_writes_or_cannot_be_explained_is_passed_over(slow: Slow) -> None:
    assert await slow.note(STORE, "a") == []
    writes = "WITH gone AS (DELETE FROM agentmem.agents AS a RETURNING a.name) SELECT g.name FROM gone AS g"
    assert await slow.note(Query("test.writes", str, writes)) == []
    assert await slow.note(Query("test.broken", str, "SELECT b.name FROM agentmem.nothing AS b")) == []


@pytest.mark.own_sessions
async def test_slow_statements_have_their_plan_in_the_statistics(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(slow_query_ms=0)) as db:
        organization = await organizations.create(db, NewOrganization(name=SECRET))
        scope = db.tenant(organization.id)
        agent = await agents.create(scope, NewAgent(name=SECRET))
        await messages.append(scope, agent.id, [NewMessage(role="user", text=SECRET)])
        await messages.recent(scope, agent.id)
        plans = {}
        while "messages.recent" not in plans:
            await agents.find(scope, agent.id)  # a statement, so that the loop goes round
            plans = {stats.query: stats.plan for stats in db.queries(limit=100) if stats.plan}
        assert "messages_visible" in {node.index for node in plans["messages.recent"].plan.walk()}
        assert not any(plan.plan.writes for plan in plans.values())
        assert SECRET not in repr(plans)
        assert statements.RECENT.of_all.name in await analysis.report(db)


@pytest.mark.own_sessions
async def test_closing_leaves_what_is_not_explained_yet(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(slow_query_ms=0)) as db:
        await organizations.count(db)
    await organizations_are_reachable(dsn)


async def organizations_are_reachable(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT) as db:
        assert await organizations.count(db) == 0
