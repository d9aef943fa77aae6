from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from agentmem_store import errors
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.pool import PoolStats
from agentmem_store.query import Query
from agentmem_store.repositories import agents
from agentmem_store.telemetry import prometheus

if TYPE_CHECKING:
    from agentmem_store.scope import Scope

CREATE = "agents.create"
BROKEN = Query("test.broken", int, "SELECT 1 FROM agentmem.no_such_table")


def samples(db: Database) -> dict[tuple[str, tuple[str, ...]], float]:
    """Everything in the text, by name and label values, those of the first label in the alphabet first."""
    families = text_string_to_metric_families(prometheus.text(db))
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_the_text_says_what_stats_and_queries_say(db: Database, tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent(name="planner"))
    with pytest.raises(errors.Conflict):
        await agents.create(tenant, NewAgent(id=agent.id, name="other"))
    stats, seen = db.stats(), samples(db)
    created = next(query for query in db.queries(limit=1000) if query.query == CREATE)
    assert seen["agentmem_pool_max_size", ()] == stats.max_size
    assert seen["agentmem_pool_created_total", ()] == stats.created
    assert seen["agentmem_pool_wait_seconds_count", ()] == stats.wait.count
    assert seen["agentmem_statements_total", ("ok",)] == stats.statements.ok
    assert seen["agentmem_query_rows_total", (CREATE,)] == created.rows
    assert seen["agentmem_query_run_seconds_count", (CREATE,)] == created.calls
    assert seen["agentmem_query_run_seconds_bucket", ("+Inf", CREATE)] == created.calls
    assert seen["agentmem_query_run_seconds_sum", (CREATE,)] == pytest.approx(created.run.total)


async def test_every_number_of_the_pool_is_there(db: Database) -> None:
    seen = {name.removesuffix("_total").removesuffix("_seconds_count") for name, _ in samples(db)}
    for field in fields(PoolStats):
        assert f"agentmem_pool_{field.name}" in seen or field.name == "closed_by"


async def test_errors_and_timeouts_have_bounded_labels(db: Database) -> None:
    with pytest.raises(errors.DatabaseError):
        await db.fetch_all(BROKEN)
    assert samples(db)["agentmem_statement_errors_total", ("42",)] == 1


async def test_a_database_that_is_closed_can_be_scraped(db: Database) -> None:
    await db.close()
    closed = {reason: n for (name, reason), n in samples(db).items() if name == "agentmem_pool_closed_by_total"}
    assert sum(closed.values()) == db.stats().closed > 0


async def test_it_registers_beside_others(db: Database) -> None:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(prometheus.collector(db))
    assert registry.get_sample_value("agentmem_pool_in_use") == 0
