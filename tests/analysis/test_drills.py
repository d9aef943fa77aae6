"""What the advice is worth: against indexes that were really built, a healthy schema, and one with an index gone."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import analysis
from agentmem_store.analysis.catalogue import of_daily_use
from agentmem_store.analysis.control import executor_of, fetch, undone
from agentmem_store.analysis.explain import generic_plan
from agentmem_store.analysis.missing import plans_of
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.analysis import quoted
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, blocks, memories, messages, organizations
from tests.analysis.workloads import WORKLOADS, Workload
from tests.populate import populate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from agentmem_store.analysis import Advice
    from agentmem_store.executor import Executor

pytestmark = pytest.mark.own_sessions

_AS_GOOD = 1.05
_ENOUGH = 18

# Every index by which an application reads day by day, or that serves a foreign key. Left out are keys, and two that
# the planner does not miss: users by status, since it expects every second user to have one of two statuses and reads
# on in the index by age; and memories by age, since it expects the filters to leave one row, which needs no sorting.
DAILY = [
    "agents_by_age", "agents_by_name", "agents_to_purge", "blocks_agents_by_block", "blocks_by_age", "blocks_by_label",
    "blocks_by_template", "blocks_by_user", "blocks_to_purge", "memories_by_agent", "memories_by_importance",
    "memories_by_user", "memories_search", "messages_by_group", "messages_by_step", "messages_by_user",
    "messages_search", "messages_visible", "organizations_by_age", "organizations_by_name", "organizations_to_purge",
    "term_frequencies_by_agent", "tools_agents_by_tool", "tools_by_age", "tools_by_tag", "tools_to_purge",
    "users_by_age", "users_by_name", "users_to_purge",
]  # fmt: skip
# Those of clean-up, and the query that misses each: it is judged where an application gives it, or runs it often.
CLEAN_UP = {
    "memories_by_expiry": "memories.remove_expired",
    "memories_to_purge": "memories.remove_deleted",
    "messages_to_purge": "messages.remove_deleted",
}
LEFT_OUT = {"users_by_status", "memories_by_age"}


def columns_of(advice: Advice) -> list[str]:
    """The columns of the index that a statement creates, in order."""
    assert advice.ddl is not None
    inner = advice.ddl.partition("(")[2].partition(")")[0]
    return [column.strip().removesuffix(" DESC") for column in inner.split(",")]


def costs_of(advice: Advice) -> list[tuple[float, float]]:
    """What each query that an index serves costs before and after, if it is said."""
    return [(each["before"], each["after"]) for each in advice.evidence.get("queries", {}).values()]


async def cost(executor: Executor, workload: Workload, ddl: str | None = None) -> tuple[float, set[str | None]]:
    """What the workload's query costs with one more index, really built, and the indexes that its plan uses."""
    async with undone(executor, 60, read_only=False) as inner:
        if ddl:
            await fetch(inner, ddl)
        plan = await generic_plan(inner, workload.query)
        return plan.root.total_cost, {node.index for node in plan.walk()}


async def best_of(executor: Executor, workload: Workload) -> tuple[tuple[str, ...], float]:
    """The shortest index that is as good as the best of all that could be built on the columns, and the best cost."""
    found: dict[tuple[str, ...], float] = {}
    for count in (1, 2, 3):
        for columns in itertools.permutations(workload.columns, count):
            ddl = f"CREATE INDEX ON drill.{workload.name} ({', '.join(columns)})"
            found[columns] = (await cost(executor, workload, ddl))[0]
    least = min(found.values())
    return min((each for each in found if found[each] <= least * _AS_GOOD), key=len), least


async def test_advice_names_the_index_that_is_best_when_built(db: Database, drill: asyncpg.Connection[Any]) -> None:
    for statement in itertools.chain.from_iterable(workload.ddl for workload in WORKLOADS):
        await drill.execute(statement)
    await drill.execute("ANALYZE")
    advice = await analysis.advise(db, queries=[workload.query for workload in WORKLOADS], schema="drill")
    told = {each.subject: each for each in advice if each.rule == "missing_index"}
    assert len(told) == sum(each.rule == "missing_index" for each in advice), "one for each table at most"
    assert all(0 < after < before for each in advice for before, after in costs_of(each))
    right = []
    for workload in WORKLOADS:
        found = told.pop(f"drill.{quoted(workload.name)}", None)
        async with undone(executor_of(db), 60, read_only=False) as executor:
            if not workload.columns:
                assert found is None, "useless"
                right.append(workload.name)
            elif found is not None and await is_best(executor, workload, found):
                right.append(workload.name)
    assert not told
    assert len(right) >= _ENOUGH, sorted({workload.name for workload in WORKLOADS} - set(right))


async def is_best(executor: Executor, workload: Workload, advice: Advice) -> bool:
    """Tell whether the index that is advised begins as the best one does; that it is used is asserted."""
    assert advice.ddl is not None
    built, used = await cost(executor, workload, advice.ddl.replace(" CONCURRENTLY", ""))
    assert advice.ddl.split()[3] in used, f"{advice.ddl} is useless"
    assert built <= (await cost(executor, workload))[0] * 0.7
    best, _ = await best_of(executor, workload)
    count = min(len(best), len(columns_of(advice)))
    return set(columns_of(advice)[:count]) == set(best[:count])


async def test_a_healthy_schema_in_use_is_left_alone(busy: Database) -> None:
    organization = await organizations.create(busy, NewOrganization(name="busy"))
    scope = busy.tenant(organization.id)
    people = await populate(scope, turns=20)
    for _ in range(20):
        await messages.recent(scope, people.guide.id)
        await messages.append(scope, people.guide.id, [NewMessage(role="user", text="again")])
        await messages.search(scope, people.guide.id, "turn")
        await memories.search(scope, "fact")
        await agents.list(scope)
        await blocks.list(scope, user_id=people.ada.id)
    assert await analysis.advise(busy) == []


async def test_the_queries_of_the_vector_track_are_planned_where_it_is(vector_shared: str) -> None:
    async with Database(vector_shared, DEVELOPMENT.with_(slow_query_ms=60_000)) as db:
        async with undone(executor_of(db), 60) as executor:
            plans = await plans_of(executor, of_daily_use().values())
        assert set(plans) == set(of_daily_use())
        assert await analysis.advise(db) == []


@pytest.mark.parametrize("name", DAILY)
async def test_an_index_that_is_gone_is_asked_for(busy: Database, name: str) -> None:
    async with without(busy, name) as (table, definition):
        queries = [query for query in of_daily_use().values() if f"agentmem.{table}" in query.sql]
        advice = await analysis.advise(busy, queries=queries)
    assert {each.rule for each in advice} <= {"missing_index", "foreign_key_index"}
    assert {each.subject for each in advice} == {f"agentmem.{table}"}
    assert any(begins_as(columns_of(each), definition) for each in advice), [each.ddl for each in advice]
    assert all(0 < after < before for each in advice for before, after in costs_of(each))


@pytest.mark.parametrize("name", CLEAN_UP)
async def test_an_index_of_clean_up_that_is_gone_is_asked_for_where_it_runs(busy: Database, name: str) -> None:
    async with without(busy, name) as (table, definition):
        (advice,) = await analysis.advise(busy, queries=[analysis.find(CLEAN_UP[name])])
    assert (advice.rule, advice.subject) == ("missing_index", f"agentmem.{table}")
    assert begins_as(columns_of(advice), definition)


@asynccontextmanager
async def without(db: Database, name: str) -> AsyncIterator[tuple[str, str]]:
    """Drop an index while the block lasts; yield its table and its definition."""
    async with db.connection() as connection:
        definition = await connection.fetchval("SELECT pg_get_indexdef($1::regclass)", f"agentmem.{name}")
        table = await connection.fetchval("SELECT tablename FROM pg_indexes WHERE indexname = $1", name)
        await connection.execute(f"DROP INDEX agentmem.{name}")
        try:
            yield table, definition
        finally:
            await connection.execute(definition)


async def test_every_index_is_drilled_or_left_out_for_a_reason(busy: Database) -> None:
    async with busy.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT c.relname::text AS name
            FROM pg_index AS i
            JOIN pg_class AS c ON c.oid = i.indexrelid
            WHERE c.relnamespace = 'agentmem'::regnamespace
              AND NOT i.indisunique
            """
        )
    assert {row["name"] for row in rows} == {*DAILY, *CLEAN_UP, *LEFT_OUT}


def begins_as(columns: list[str], definition: str) -> bool:
    """Tell whether columns are the first of an index; one that is the same in every visible row does not count."""
    keys = definition.rpartition("USING")[2].partition("(")[2].partition(")")[0].replace(" DESC", "").split(", ")
    keys, columns = ([each for each in some if each != "is_deleted"] for some in (keys, columns))
    return set(columns[: len(keys)]) == set(keys[: len(columns)])
