from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from agentmem_store import connect, errors
from agentmem_store.executor import ConnectionExecutor
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.query import Query
from agentmem_store.repositories import agents, organizations

if TYPE_CHECKING:
    from agentmem_store.database import Database
    from agentmem_store.scope import Scope


ONE_OF_TENANT = Query("test.one_of_tenant", int, "SELECT 1 WHERE $1::UUID IS NOT NULL")


class Boom(Exception):
    pass


@pytest.mark.own_sessions
async def test_transaction_manager(db: Database, tenant: Scope) -> None:
    async with tenant.transaction() as tx:
        kept = await agents.create(tx, NewAgent(name="kept"))
        assert await agents.find(tenant, kept.id) is None, "not visible before the commit"
    assert await agents.get(tenant, kept.id) == kept

    with pytest.raises(Boom):
        async with tenant.transaction() as tx:
            lost = await agents.create(tx, NewAgent(name="lost"))
            raise Boom
    assert await agents.find(tenant, lost.id) is None
    assert db.stats().in_use == 0


async def test_a_nested_transaction_is_a_savepoint(tenant: Scope) -> None:
    async with tenant.transaction() as tx:
        await agents.create(tx, NewAgent(name="outer"))
        with pytest.raises(Boom):
            async with tx.transaction() as inner:
                lost = await agents.create(inner, NewAgent(name="inner"))
                raise Boom
        async with tx.transaction() as inner:
            await agents.create(inner, NewAgent(name="kept"))
    assert await agents.find(tenant, lost.id) is None
    assert await agents.count(tenant) == 2


async def test_organizations_and_tenants_share_a_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        organization = await organizations.create(tx, NewOrganization(name="new"))
        agent = await agents.create(tx.tenant(organization.id), NewAgent(name="first"))
    assert await agents.get(db.tenant(organization.id), agent.id) == agent


async def test_a_finished_transaction_says_so(tenant: Scope) -> None:
    async with tenant.transaction() as tx:
        pass
    with pytest.raises(errors.UsageError, match="finished"):
        await agents.count(tx)
    with pytest.raises(errors.UsageError, match="finished"):
        async with tx.transaction():
            pass


async def test_an_isolation_level_belongs_to_the_outermost(tenant: Scope) -> None:
    async with tenant.transaction(isolation="serializable") as tx:
        with pytest.raises(errors.UsageError, match="outermost"):
            async with tx.transaction(isolation="serializable"):
                pass


async def test_a_read_only_transaction_refuses_writes(tenant: Scope) -> None:
    with pytest.raises(errors.ReadOnly) as caught:
        async with tenant.transaction(read_only=True) as tx:
            await agents.create(tx, NewAgent(name="x"))
    assert (caught.value.sqlstate, caught.value.query) == ("25006", "agents.create")


@pytest.mark.own_sessions
async def test_a_serialization_failure_can_be_tried_again(tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent(name="a"))
    with pytest.raises(errors.TransactionRolledBack) as caught:
        async with tenant.transaction(isolation="repeatable_read") as tx:
            await agents.get(tx, agent.id)
            await agents.update(tenant, agent.id, AgentChanges(name="b"))
            await agents.update(tx, agent.id, AgentChanges(name="c"))
    assert caught.value.retryable
    assert caught.value.sqlstate == "40001"


async def test_rows_commit_together_with_the_applications_own(db: Database, tenant: Scope) -> None:
    connection = await connect.connect(db.dsn)
    await connection.execute("CREATE TABLE public.orders (agent_id uuid)")
    async with connection.transaction():
        agent = await agents.create(tenant.on(connection), NewAgent(name="theirs"))
        await connection.execute("INSERT INTO public.orders VALUES ($1)", agent.id)
    transaction = connection.transaction()
    await transaction.start()
    lost = await agents.create(tenant.on(connection), NewAgent(name="lost"))
    await transaction.rollback()
    await connection.close()
    assert await agents.find(tenant, agent.id) == agent
    assert await agents.find(tenant, lost.id) is None


async def test_two_tasks_on_one_transaction_are_told(tenant: Scope) -> None:
    async with tenant.transaction() as tx:
        results = await asyncio.gather(agents.count(tx), agents.count(tx), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["UsageError", "int"]


async def test_cancelling_a_transaction_rolls_it_back(db: Database, tenant: Scope) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with tenant.transaction() as tx:
            await agents.create(tx, NewAgent(name="cancelled"))
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await agents.count(tenant) == 0
    assert db.stats().in_use == 0


@pytest.mark.own_sessions
async def test_a_connection_that_dies_in_a_transaction(db: Database, tenant: Scope) -> None:
    with pytest.raises(errors.ConnectionLost):
        async with tenant.transaction() as tx:
            await agents.create(tx, NewAgent(name="lost"))
            async with db.connection() as other:
                await other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await agents.count(tx)
    assert await agents.count(tenant) == 0


@pytest.mark.own_sessions
async def test_a_raw_connection_is_cleaned(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute("SET work_mem = '7MB'")
    async with db.connection() as connection:
        assert await connection.fetchval("SHOW work_mem") != "7MB"


async def test_a_savepoint_that_was_rolled_back_is_gone(db: Database) -> None:
    """Else the next would be set within it, and a thousand that fail would be a thousand deep."""
    with pytest.raises(asyncpg.InvalidSavepointSpecificationError):
        async with db.transaction() as tx:
            for _ in range(2):
                with pytest.raises(Boom):
                    async with tx.transaction():
                        raise Boom
            executor = tx._executor
            assert isinstance(executor, ConnectionExecutor)
            await executor._connection.execute("RELEASE SAVEPOINT agentmem_1")


@pytest.mark.own_sessions
async def test_a_transaction_whose_connection_the_pool_has_ended_is_lost(db: Database, tenant: Scope) -> None:
    """The driver of such a connection has nothing left to ask, and says so with an AttributeError."""

    async def stream(tx: Scope) -> None:
        async for _ in tx.stream(ONE_OF_TENANT):
            pass

    async def savepoint(tx: Scope) -> None:
        async with tx.transaction():
            pass

    for work in (stream, savepoint):
        with pytest.raises(errors.ConnectionLost) as caught:
            async with tenant.transaction() as tx:
                for lease in tuple(db._pool._lent):
                    lease.connection.terminate()
                await work(tx)
        assert caught.value.outcome == "rolled_back"
