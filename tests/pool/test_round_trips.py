"""What is counted is how often the driver waits for the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, organizations
from tests.proxy import Proxy, proxied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agentmem_store.scope import Scope


@pytest.fixture
async def counted(dsn: str) -> AsyncIterator[tuple[Proxy, Database, Scope]]:
    """A tenant whose statements go through the proxy and are prepared already, on one connection; none is explained."""
    config = DEVELOPMENT.with_(max_size=1, slow_query_ms=60_000)
    async with proxied(dsn) as (proxy, through), Database(through, config) as db:
        organization = await organizations.create(db, NewOrganization(name="counted"))
        scope = db.tenant(organization.id)
        agent = await agents.create(scope, NewAgent(name="x"))
        await agents.get(scope, agent.id)
        await agents.update(scope, agent.id, AgentChanges(name="y"))
        yield proxy, db, scope


async def test_round_trips(counted: tuple[Proxy, Database, Scope]) -> None:
    proxy, db, scope = counted
    agent = await agents.create(scope, NewAgent(name="z"))

    async def trips(call: Callable[[], Awaitable[Any]]) -> int:
        before = proxy.round_trips
        await call()
        return proxy.round_trips - before

    async def read() -> None:
        await agents.get(scope, agent.id)

    async def transaction() -> None:
        async with scope.transaction() as tx:
            await agents.get(tx, agent.id)

    async def savepoint() -> None:
        async with scope.transaction() as tx, tx.transaction() as inner:
            await agents.get(inner, agent.id)

    async def clean_release() -> None:
        db._pool.release(await db._pool.acquire())

    assert await trips(read) == 1
    assert await trips(lambda: agents.update(scope, agent.id, AgentChanges(name="w"))) == 1
    assert await trips(transaction) == 3
    assert await trips(savepoint) == 5
    assert await trips(clean_release) == 0


async def test_the_first_query_of_a_new_connection_costs_two(counted: tuple[Proxy, Database, Scope]) -> None:
    """One to have it parsed and described, one to run it; none to ask for types, whatever its arguments are."""
    proxy, db, scope = counted
    made = await agents.create_many(scope, [NewAgent(name=f"{n}") for n in range(3)])
    db._pool.drain()
    lease = await db._pool.acquire()
    db._pool.release(lease)
    before = proxy.round_trips
    assert await agents.delete_many(scope, [agent.id for agent in made]) == 3
    assert proxy.round_trips - before == 2
