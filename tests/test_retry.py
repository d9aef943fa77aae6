from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from agentmem_store import connect, errors
from agentmem_store.config import (
    DEVELOPMENT,
    RETRY_AGGRESSIVE,
    RETRY_CONSERVATIVE,
    RETRY_DEFAULT,
    RetryConfig,
)
from agentmem_store.database import Database
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, organizations
from agentmem_store.retry import _was_committed
from tests.proxy import Proxy, proxied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentmem_store.scope import Scope

QUICK = RetryConfig(retries=3, base_ms=0.01, max_ms=0.02)


def test_retry_config() -> None:
    def numbers(config: RetryConfig) -> tuple[float, ...]:
        return (config.retries, config.base_ms, config.max_ms, config.factor)

    assert numbers(RETRY_DEFAULT) == (3, 100, 2000, 2.0)
    assert numbers(RETRY_AGGRESSIVE) == (5, 50, 1000, 1.5)
    assert numbers(RETRY_CONSERVATIVE) == (2, 200, 5000, 3.0)
    assert [RETRY_DEFAULT.most_ms(n) for n in range(1, 7)] == [100, 200, 400, 800, 1600, 2000]


# What the server says, and whether the whole transaction is run again. Never told by words: a table called
# locked_items that is not there is no lock.
CASES = [
    ("SELECT * FROM locked_items", False, "42P01"),
    ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", True, "40001"),
    ("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$", True, "40P01"),
    ("DO $$ BEGIN RAISE SQLSTATE '55P03'; END $$", True, "55P03"),
    ("DO $$ BEGIN RAISE SQLSTATE '57014'; END $$", False, "57014"),
    ("DO $$ BEGIN RAISE SQLSTATE '23505' USING message = 'connections_pkey locked timeout'; END $$", False, "23505"),
    ("DO $$ BEGIN RAISE SQLSTATE '22012'; END $$", False, "22012"),
    ("DO $$ BEGIN RAISE SQLSTATE '53200'; END $$", True, "53200"),
]


@pytest.mark.parametrize(("statement", "again", "sqlstate"), CASES)
async def test_what_is_run_again(tenant: Scope, statement: str, again: bool, sqlstate: str) -> None:
    attempts = 0

    async def work(tx: Scope) -> None:
        nonlocal attempts
        attempts += 1
        try:
            await tx._executor._connection.execute(statement)  # type: ignore[attr-defined]
        except asyncpg.PostgresError as error:
            raise errors.from_driver(error) from error

    with pytest.raises(errors.AgentMemError) as caught:
        await tenant.run(work, retry=QUICK)
    assert attempts == (4 if again else 1)
    assert caught.value.sqlstate == sqlstate


async def test_every_attempt_starts_from_nothing_and_one_is_committed(tenant: Scope) -> None:
    seen: list[int] = []

    async def work(tx: Scope) -> str:
        seen.append(await agents.count(tx))
        await agents.create(tx, NewAgent(name="x"))
        if len(seen) < 3:
            raise errors.TransactionRolledBack("made up")
        return "done"

    with capture_logs() as logs:
        assert await tenant.run(work, retry=QUICK) == "done"
    assert seen == [0, 0, 0]
    assert await agents.count(tenant) == 1
    assert [{**log, "wait_ms": 0} for log in logs] == [
        {
            "event": "agentmem.retry.scheduled",
            "log_level": "warning",
            "attempt": n,
            "wait_ms": 0,
            "error": "TransactionRolledBack",
            "sqlstate": None,
            "query": None,
        }
        for n in (1, 2)
    ]


async def test_no_connection_is_held_while_waiting(
    db: Database, tenant: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    monkeypatch.setattr("agentmem_store.retry._tell", lambda _state: held.append(db.stats().in_use))

    async def work(tx: Scope) -> None:
        await agents.count(tx)
        raise errors.TransactionRolledBack("made up")

    with pytest.raises(errors.TransactionRolledBack):
        await tenant.run(work, retry=QUICK)
    assert held == [0, 0, 0]


async def test_within_a_transaction_it_runs_once(tenant: Scope) -> None:
    attempts = 0

    async def work(_tx: Scope) -> None:
        nonlocal attempts
        attempts += 1
        raise errors.TransactionRolledBack("made up")

    async with tenant.transaction() as tx:
        with pytest.raises(errors.TransactionRolledBack):
            await tx.run(work, retry=QUICK)
    assert attempts == 1


async def test_writers_who_collide_all_get_through(tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent(metadata={"n": 0}))

    async def work(tx: Scope) -> None:
        row = await agents.get(tx, agent.id)
        await agents.update(tx, agent.id, AgentChanges(metadata={"n": row.metadata["n"] + 1}))

    retry = RetryConfig(retries=50, base_ms=1, max_ms=20)
    await asyncio.gather(*(tenant.run(work, retry=retry, isolation="serializable") for _ in range(8)))
    assert (await agents.get(tenant, agent.id)).metadata == {"n": 8}


@pytest.fixture
async def cut(dsn: str) -> AsyncIterator[tuple[Proxy, Scope]]:
    """A proxy, and the scope of a tenant whose statements, and no other ones, go through it."""
    config = DEVELOPMENT.with_(max_size=2, slow_query_ms=60_000)
    async with proxied(dsn) as (proxy, through), Database(through, config) as db:
        organization = await organizations.create(db, NewOrganization(name="cut"))
        yield proxy, db.tenant(organization.id)


def once(condition: Any) -> Any:
    """True for the first message that meets the condition, and for none after it."""
    done = False

    def check(kind: bytes, body: bytes) -> bool:
        nonlocal done
        if done or not condition(kind, body):
            return False
        done = True
        return True

    return check


def is_commit(kind: bytes, body: bytes) -> bool:
    return kind == b"Q" and body.startswith(b"COMMIT")


async def create_one(tx: Scope) -> None:
    await agents.create(tx, NewAgent(name="exactly once"))


@pytest.mark.own_sessions
async def test_a_commit_whose_reply_is_lost_is_found_to_be_stored(cut: tuple[Proxy, Scope]) -> None:
    proxy, scope = cut
    proxy.drop_reply_to = once(is_commit)
    await scope.run(create_one, retry=QUICK)
    assert await agents.count(scope) == 1


@pytest.mark.own_sessions
async def test_a_commit_that_never_arrived_is_found_not_to_be_stored_and_run_again(cut: tuple[Proxy, Scope]) -> None:
    proxy, scope = cut
    proxy.drop_before = once(is_commit)
    await scope.run(create_one, retry=QUICK)
    assert await agents.count(scope) == 1


@pytest.mark.own_sessions
async def test_a_plain_transaction_says_that_its_commit_is_unknown(cut: tuple[Proxy, Scope]) -> None:
    proxy, scope = cut
    proxy.drop_before = once(is_commit)
    with pytest.raises(errors.CommitUnknown) as caught:
        async with scope.transaction() as tx:
            await create_one(tx)
    assert caught.value.outcome == "unknown"
    assert not caught.value.retryable


@pytest.mark.own_sessions
async def test_a_connection_lost_before_the_commit_is_rolled_back(cut: tuple[Proxy, Scope]) -> None:
    proxy, scope = cut
    proxy.drop_reply_to = once(lambda kind, body: kind == b"S")
    await scope.run(create_one, retry=QUICK)
    assert await agents.count(scope) == 1


@pytest.mark.own_sessions
async def test_a_create_whose_reply_is_lost_can_be_sent_again(cut: tuple[Proxy, Scope]) -> None:
    proxy, scope = cut
    new = NewAgent(name="twice sent")
    await agents.count(scope)
    proxy.drop_reply_to = once(lambda kind, body: kind == b"S")
    with pytest.raises(errors.ConnectionLost) as caught:
        await agents.create(scope, new)
    assert caught.value.outcome == "unknown"
    assert (await agents.create(scope, new)).id == new.id
    assert await agents.count(scope) == 1


async def ended(connection: asyncpg.Connection[Any]) -> None:
    """Wait until the driver has noticed that the server ended the session."""
    noticed = asyncio.Event()
    connection.add_termination_listener(lambda _connection: noticed.set())
    if not connection.is_closed():
        await noticed.wait()


@pytest.mark.own_sessions
async def test_reads_survive_the_death_of_all_idle_connections(db: Database, tenant: Scope) -> None:
    leases = [await db._pool.acquire() for _ in range(3)]
    for lease in leases:
        db._pool.release(lease)
    assassin = await connect.connect(db.dsn)
    await assassin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await assassin.close()
    await asyncio.gather(*(ended(lease.connection) for lease in leases))
    assert [await agents.count(tenant) for _ in range(20)] == [0] * 20


@pytest.mark.own_sessions
async def test_round_trips(cut: tuple[Proxy, Scope]) -> None:
    proxy, scope = cut
    agent = await agents.create(scope, NewAgent(name="x"))
    await agents.get(scope, agent.id)
    await agents.update(scope, agent.id, AgentChanges(name="y"))

    async def trips(call: Any) -> int:
        before = proxy.round_trips
        await call
        return proxy.round_trips - before

    async def transaction() -> None:
        async with scope.transaction() as tx:
            await agents.get(tx, agent.id)

    assert await trips(agents.get(scope, agent.id)) == 1
    assert await trips(agents.update(scope, agent.id, AgentChanges(name="z"))) == 1
    assert await trips(transaction()) == 3


async def test_the_fate_of_a_transaction_is_asked_for(db: Database) -> None:
    connection = await connect.connect(db.dsn)
    transaction = connection.transaction()
    await transaction.start()
    transaction_id = await connection.fetchval("SELECT pg_current_xact_id()::text")
    unknown = errors.CommitUnknown("made up")

    with pytest.raises(errors.CommitUnknown):  # still in progress, however often it is asked
        await _was_committed(db._executor, transaction_id, unknown, QUICK)
    await transaction.rollback()
    await connection.close()
    assert not await _was_committed(db._executor, transaction_id, unknown, QUICK)
    assert not await _was_committed(db._executor, "9" * 15, unknown, QUICK), "an id the server has not come to"
