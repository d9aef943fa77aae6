"""The primary dies and its standby is promoted: the pool serves again by itself, and what was acknowledged is there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from agentmem_store import connect, errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, organizations
from tests.clusters import Cluster, clusters, why_no_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentmem_store.scope import Scope

pytestmark = pytest.mark.skipif(why_no_cluster() is not None, reason=str(why_no_cluster()))

WRITERS = 4
DEADLINE_S = 20  # of the whole drill after the kill; nothing is measured by it
POOL = DEVELOPMENT.with_(min_size=2, max_size=WRITERS, connect_timeout_s=2, command_timeout_s=2, acquire_timeout_s=2)


@pytest.fixture
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """A primary, and a standby without which it acknowledges nothing."""
    with clusters("primary", "standby") as [primary, standby]:
        primary.make()
        primary.start("synchronous_standby_names=*", "synchronous_commit=local")
        standby.copy(primary)
        standby.start("synchronous_standby_names=")
        yield primary, standby


def dsn_of(*servers: Cluster) -> str:
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in servers)
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


async def await_synchronous_standby(primary: Cluster) -> None:
    """Have commits of later connections wait for the standby, once there is one that they can wait for."""
    connection = await connect.connect(dsn_of(primary))
    async with asyncio.timeout(DEADLINE_S):
        while not await connection.fetchval("SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication"):
            await asyncio.sleep(0.02)
    # Of the database: what stands on the server's command line goes before what ALTER SYSTEM says.
    await connection.execute("ALTER DATABASE postgres SET synchronous_commit = 'on'")
    await connection.close()


class Writers:
    """Tasks that create agents as fast as they can, and remember those that were acknowledged."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.acknowledged: list[UUID] = []
        self.refused: list[errors.AgentMemError] = []
        self.going_on = True

    async def run(self) -> None:
        while self.going_on:
            new = NewAgent(name="agent")
            try:
                self.acknowledged.append((await agents.create(self._scope, new)).id)
            except errors.AgentMemError as error:
                self.refused.append(error)
                await asyncio.sleep(0.02)  # a caller's back-off

    async def more(self, count: int) -> None:
        """Wait until so many more were acknowledged."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(DEADLINE_S):
            while len(self.acknowledged) < goal:
                await asyncio.sleep(0.01)


async def test_no_acknowledged_row_is_lost_and_the_pool_serves_again(pair: tuple[Cluster, Cluster]) -> None:
    primary, standby = pair
    await await_synchronous_standby(primary)
    async with Database(dsn_of(primary, standby), POOL) as db:
        async with db.connection() as connection:
            assert await connection.fetchval("SHOW synchronous_commit") == "on"
        await db.migrate()
        organization = await organizations.create(db, NewOrganization(name="drill"))
        writers = Writers(db.tenant(organization.id))
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(writers.run())
            await writers.more(100)
            await asyncio.to_thread(primary.stop)
            before = len(writers.acknowledged)
            await asyncio.to_thread(standby.promote)
            await writers.more(100)
            writers.going_on = False
        stored = [(await agents.get(db.tenant(organization.id), each)).id for each in writers.acknowledged]
    assert stored == writers.acknowledged
    assert writers.refused, "nobody noticed the failover"
    assert 100 <= before < len(writers.acknowledged)


async def test_a_standby_is_passed_over_for_the_primary_wherever_it_stands(pair: tuple[Cluster, Cluster]) -> None:
    primary, standby = pair
    connection = await connect.connect(dsn_of(standby, primary))
    assert await connection.fetchval("SELECT pg_is_in_recovery()") is False
    await connection.close()
    with pytest.raises(errors.ConnectError, match="no host that answers has target_session_attrs=read-write"):
        await connect.connect(dsn_of(standby))
