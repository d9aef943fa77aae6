from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import analysis, errors
from agentmem_store.analysis.control import executor_of, undone
from agentmem_store.analysis.missing import plans_of
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.blocks import NewBlock
from agentmem_store.models.messages import NewMessage
from agentmem_store.query import Query
from agentmem_store.repositories import agents, blocks, messages, organizations
from agentmem_store.statements import blocks as block_statements
from agentmem_store.statements import messages as statements

if TYPE_CHECKING:
    from agentmem_store.analysis import Plan
    from agentmem_store.database import Database
    from agentmem_store.models.agents import Agent
    from agentmem_store.scope import Scope

SLEEP = Query("test.sleep", str, "SELECT pg_sleep(10)::text")
REMOVE_ALL = Query(
    "test.remove", int, "DELETE FROM agentmem.messages AS m WHERE m.organization_id = $1 RETURNING m.seq"
)


@pytest.fixture
async def talker(scope: Scope) -> Agent:
    """An agent with three messages."""
    agent = await agents.create(scope, NewAgent(name="talker"))
    await messages.append(scope, agent.id, [NewMessage(role="user", text=f"text {n}") for n in range(3)])
    return agent


def conditions(plan: Plan) -> str:
    return " ".join(node.index_condition or "" for node in plan.walk())


async def test_a_plan_is_made_for_the_very_arguments(scope: Scope, talker: Agent) -> None:
    plan = await analysis.explain(scope, statements.RECENT.of_all, talker.id, None, None, 5)
    assert str(talker.id) in conditions(plan)
    assert (plan.query, plan.generic, plan.analyzed, plan.execution_ms) == ("messages.recent", False, False, None)


async def test_the_generic_plan_knows_parameters_only(scope: Scope, talker: Agent) -> None:
    plan = await analysis.explain(scope, statements.RECENT.of_all, talker.id, None, None, 5, generic=True)
    assert "$1" in conditions(plan)
    assert str(talker.id) not in conditions(plan)


@pytest.mark.parametrize("generic", [False, True])
async def test_analyzing_measures_what_really_came(scope: Scope, talker: Agent, generic: bool) -> None:
    plan = await analysis.explain(
        scope, statements.RECENT.of_all, talker.id, None, None, 2, analyze=True, generic=generic
    )
    assert plan.root.actual_rows == 2
    assert plan.execution_ms is not None
    assert plan.root.hit is not None
    assert plan.side_effects == ()


async def test_explaining_a_delete_deletes_nothing(db: Database, tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent(name="talker"))
    await messages.append(tenant, agent.id, [NewMessage(role="user", text="stays")])
    await analysis.explain(tenant, REMOVE_ALL)
    with pytest.raises(errors.UsageError, match="writes=True"):
        await analysis.explain(tenant, REMOVE_ALL, analyze=True)
    plan = await analysis.explain(tenant, REMOVE_ALL, analyze=True, writes=True)
    assert plan.root.rows_in_all == 1, "it ran"
    assert plan.writes == ("messages",)
    assert any("dead row versions in messages" in effect for effect in plan.side_effects)
    assert await messages.count(tenant, agent.id) == 1


async def test_what_a_write_moves_beside_rows_is_listed(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute("CREATE TABLE agentmem.numbered (id bigserial, name text)")
    number = Query("test.number", int, "INSERT INTO agentmem.numbered (name) VALUES ($1) RETURNING id")
    plan = await analysis.explain(db, number, "one", analyze=True, writes=True)
    assert any("numbered_id_seq" in effect for effect in plan.side_effects)
    assert await db.fetch_all(Query("test.ids", int, "SELECT n.id FROM agentmem.numbered AS n")) == []


async def test_explaining_ends_in_time(scope: Scope) -> None:
    with pytest.raises(errors.StatementTimeout):
        await analysis.explain(_root(scope), SLEEP, analyze=True, timeout_s=0.05)
    assert await organizations.count(_root(scope)) >= 1, "the transaction around it goes on"


@pytest.mark.parametrize("seconds", [0, -1, 86_401, float("nan")])
async def test_a_deadline_out_of_bounds_is_refused(scope: Scope, seconds: float) -> None:
    with pytest.raises(errors.ValidationError, match="timeout_s"):
        await analysis.explain(_root(scope), SLEEP, timeout_s=seconds)


def _root(scope: Scope) -> Any:
    from agentmem_store.scope import Root

    return Root(scope._executor, scope._observer)


async def test_an_error_while_explaining_leaves_the_next_explanation_alone(scope: Scope) -> None:
    broken = Query("test.broken", int, "SELECT 1 / (SELECT $2::integer WHERE $1::uuid IS NOT NULL)")
    with pytest.raises(errors.DatabaseError):
        await analysis.explain(scope, broken, 0, analyze=True, generic=True)
    assert (await analysis.explain(scope, broken, 1, analyze=True, generic=True)).root.actual_rows == 1


async def test_several_statements_at_once_are_refused(scope: Scope) -> None:
    with pytest.raises(errors.DatabaseError):
        await analysis.explain(_root(scope), Query("test.two", int, "SELECT 1; DROP SCHEMA agentmem"))


async def test_every_statement_that_ran_is_captured(tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent(name="talker"))
    async with analysis.capture(tenant, analyze=True) as seen:
        await messages.append(seen.scope, agent.id, [NewMessage(role="user", text="one")])
        await messages.recent(seen.scope, agent.id)
        async with seen.scope.transaction() as tx:
            await blocks.create(tx, NewBlock(label="human"))
            async with tx.transaction() as inner:
                await messages.recent(inner, agent.id)
    assert [plan.query for plan in seen] == ["messages.append", "messages.recent", "blocks.create", "messages.recent"]
    assert [plan.analyzed for plan in seen] == [False, True, False, True]
    assert seen["messages.recent"].root.rows_in_all == 1
    assert await messages.count(tenant, agent.id) == 1, "explaining wrote nothing"


async def test_what_runs_in_a_transaction_is_captured_there(tenant: Scope) -> None:
    async with tenant.transaction() as tx:
        block = await blocks.create(tx, NewBlock(label="human"))
        async with analysis.capture(tx, generic=False) as seen:
            await blocks.get(seen.scope, block.id)
        await blocks.get(tx, block.id)
    assert [plan.query for plan in seen] == [block_statements.GET.name]
    assert str(block.id) in conditions(seen[block_statements.GET.name])


async def test_what_fails_is_not_captured(tenant: Scope) -> None:
    async with analysis.capture(tenant) as seen:
        with pytest.raises(errors.NotFound):
            await agents.get(seen.scope, tenant.organization_id)
    assert [plan.query for plan in seen] == ["agents.get"]


async def test_capturing_of_queries_over_organizations(db: Database) -> None:
    async with analysis.capture(db) as seen:
        assert await organizations.count(seen.scope) == 0
    assert [plan.query for plan in seen] == ["organizations.count"]


def test_every_query_is_found_by_its_name_and_what_is_alike_is_told() -> None:
    assert analysis.find("messages.recent") is statements.RECENT.of_all
    with pytest.raises(errors.NotFound, match=r"messages\.recent"):
        analysis.find("messages.recnt")


async def test_query_analyzer(db: Database, tenant: Scope) -> None:
    """What Phase 1 promised: EXPLAIN ANALYZE, statistics (count, mean, slowest, most frequent), advice on indexes."""
    agent = await agents.create(tenant, NewAgent(name="talker"))
    for _ in range(3):
        await messages.recent(tenant, agent.id)
    plan = await analysis.explain(tenant, statements.RECENT.of_all, agent.id, None, None, 5, analyze=True)
    assert plan.execution_ms is not None
    frequent = await analysis.statistics(db, order="frequent", limit=1)
    assert (frequent.queries[0].query, frequent.queries[0].calls) == ("messages.recent", 3)
    assert frequent.queries[0].mean_ms > 0
    slowest = await analysis.statistics(db, order="slowest", limit=2)
    assert slowest.queries[0].mean_ms >= slowest.queries[1].mean_ms
    assert await analysis.advise(db) == []


async def test_every_query_has_a_plan_where_its_tables_are(db: Database) -> None:
    async with undone(executor_of(db), 60) as executor:
        plans = await plans_of(executor, analysis.catalogue().values())
    needs_vectors = {name for name, query in analysis.catalogue().items() if "_embeddings_" in query.sql}
    assert set(plans) == set(analysis.catalogue()) - needs_vectors
