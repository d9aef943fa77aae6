"""Concurrent calls that share statements: fewer of them, and for each caller as if he had been alone."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT, HIGH_PERFORMANCE
from agentmem_store.database import Database
from agentmem_store.executor import LEFT_OUT, Kind
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.tools import NewTool
from agentmem_store.query import Query
from agentmem_store.repositories import agents, memories, messages, organizations, tools
from tests.repositories.waiting import until_one_waits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from uuid import UUID

    from agentmem_store.connect import Connection
    from agentmem_store.models.agents import Agent
    from agentmem_store.models.messages import Message
    from agentmem_store.scope import Scope

CONFIG = DEVELOPMENT.with_(coalesce=True, min_size=1, max_size=4)
TEXT = "I take my coffee black"
# Not pg_stat_activity: a transaction sees it as it was when it first looked.
BLOCKED = "SELECT count(*) FROM pg_locks WHERE relation = 'agentmem.message_counters'::regclass AND NOT granted"
END_FLIGHTS = """
    SELECT pg_terminate_backend(pid)
    FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE '-- name: messages.append_many%'
"""


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Database]:
    async with Database(dsn, CONFIG) as database:
        yield database


@pytest.fixture
async def tenant(db: Database) -> Scope:
    organization = await organizations.create(db, NewOrganization(name="shared"))
    return db.tenant(organization.id)


async def some_agents(scope: Scope, count: int) -> list[Agent]:
    return await agents.create_many(scope, [NewAgent(name=f"agent {n}") for n in range(count)])


def said(text: str = TEXT) -> NewMessage:
    return NewMessage(role="user", text=text)


async def outcomes(*calls: Any) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def statements_of(db: Database) -> dict[str, int]:
    return {query.query: query.calls for query in db.queries()}


@asynccontextmanager
async def no_connection_free(db: Database) -> AsyncGenerator[None]:
    """Hold every connection of the pool, each in a task of its own, so that calls gather."""
    held, leave = asyncio.Semaphore(0), asyncio.Event()

    async def hold() -> None:
        async with db.connection():
            held.release()
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(db.pool.config.max_size):
            group.create_task(hold())
        for _ in range(db.pool.config.max_size):
            await held.acquire()
        try:
            yield
        finally:
            leave.set()


async def until_idle(db: Database) -> None:
    """Return when every connection is open and idle: who asks for one then does not wait."""
    while db.stats().idle < db.pool.config.max_size:
        await asyncio.sleep(0.001)


async def until_queued(db: Database, tasks: int = 1) -> None:
    """Return when so many wait in the pool's line; calls that share a statement wait there as one."""
    while db.stats().waiting < tasks:
        await asyncio.sleep(0)


@asynccontextmanager
async def counters_locked(dsn: str) -> AsyncGenerator[Connection]:
    """Keep all appends waiting in the server; yields a connection beside them."""
    async with Database(dsn, DEVELOPMENT) as other, other.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE agentmem.message_counters IN EXCLUSIVE MODE")
        yield connection


async def until_blocked(connection: Connection, statements: int) -> None:
    async with asyncio.timeout(10):
        while await connection.fetchval(BLOCKED) < statements:
            pass


def test_it_is_on_for_high_performance_and_off_elsewhere() -> None:
    assert HIGH_PERFORMANCE.coalesce
    assert not DEVELOPMENT.coalesce


async def test_a_hundred_gets_are_two_statements(db: Database, tenant: Scope) -> None:
    made = await some_agents(tenant, 100)
    db.reset_queries()
    got = await asyncio.gather(*(agents.get(tenant, agent.id) for agent in made))
    assert got == made
    assert statements_of(db) == {"agents.get": 1, "agents.get_many": 1}


async def test_a_lone_call_is_the_statement_it_would_be_without(db: Database, tenant: Scope) -> None:
    (agent,) = await some_agents(tenant, 1)
    db.reset_queries()
    await agents.get(tenant, agent.id)
    await messages.append(tenant, agent.id, [said()])
    await memories.create(tenant, NewMemory(agent_id=agent.id, content=TEXT))
    assert statements_of(db) == {"agents.get": 1, "messages.append": 1, "memories.create": 1}


async def test_each_caller_gets_a_model_of_his_own(tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent(name="one", metadata={"tags": ["a"]}))
    got = await asyncio.gather(*(agents.get(tenant, agent.id) for _ in range(10)))
    assert len({id(row) for row in got}) == 10
    got[3].metadata["tags"].append("b")
    assert got[4].metadata == {"tags": ["a"]}


async def test_who_asks_for_nothing_that_is_there_gets_not_found_and_nobody_else(tenant: Scope) -> None:
    made = await some_agents(tenant, 6)
    await agents.delete(tenant, made[3].id)
    got = await outcomes(*(agents.get(tenant, agent.id) for agent in made))
    assert [isinstance(one, errors.NotFound) for one in got] == [False, False, False, True, False, False]
    assert await asyncio.gather(*(agents.find(tenant, agent.id) for agent in made[2:4])) == [made[2], None]


async def test_appends_to_many_agents_are_two_statements_in_exact_sequence(db: Database, tenant: Scope) -> None:
    made = await some_agents(tenant, 50)
    db.reset_queries()
    rows = await asyncio.gather(*(messages.append(tenant, agent.id, [said(), said()]) for agent in made))
    assert [[row.seq for row in of_call] for of_call in rows] == [[1, 2]] * 50
    assert [of_call[0].agent_id for of_call in rows] == [agent.id for agent in made]
    assert statements_of(db) == {"messages.append": 1, "messages.append_many": 1}


async def test_calls_for_one_agent_keep_their_order(tenant: Scope) -> None:
    made = await some_agents(tenant, 3)
    texts = [f"turn {n}" for n in range(60)]
    rows = await asyncio.gather(*(messages.create(tenant, made[n % 3].id, said(text)) for n, text in enumerate(texts)))
    for first, agent in enumerate(made):
        assert [row.seq for row in rows[first::3]] == [*range(1, 21)]
        assert [row.text for row in await messages.recent(tenant, agent.id, limit=60)] == texts[first::3]


async def test_what_returned_is_committed(dsn: str, tenant: Scope) -> None:
    made = await some_agents(tenant, 8)
    async with Database(dsn, DEVELOPMENT) as other:

        async def append_and_look(agent: Agent) -> bool:
            (row,) = await messages.append(tenant, agent.id, [said()])
            return await messages.get(other.tenant(tenant.organization_id), row.id) == row

        assert all(await asyncio.gather(*map(append_and_look, made)))


async def test_everyone_reads_his_own_writes(tenant: Scope) -> None:
    made = await some_agents(tenant, 12)

    async def write_and_read(agent: Agent) -> None:
        for n in range(5):
            await agents.update(tenant, agent.id, AgentChanges(name=f"{n}"))
            assert (await agents.get(tenant, agent.id)).name == f"{n}"

    await asyncio.gather(*map(write_and_read, made))


async def test_creates_share_a_statement_and_who_acts_is_noted(db: Database, tenant: Scope) -> None:
    (agent,) = await some_agents(tenant, 1)
    actor = db.tenant(tenant.organization_id, actor_id=agent.id)
    db.reset_queries()
    mine = [memories.create(actor, NewMemory(agent_id=agent.id, content=f"{n}")) for n in range(20)]
    nobodys = [memories.create(tenant, NewMemory(agent_id=agent.id, content=f"{n}")) for n in range(20)]
    rows = await asyncio.gather(*mine, *nobodys)
    assert [row.content for row in rows] == [f"{n}" for n in range(20)] * 2
    assert [row.created_by_id for row in rows] == [agent.id] * 20 + [None] * 20
    assert statements_of(db) == {"memories.create": 4}


async def test_one_bad_call_fails_only_its_caller(tenant: Scope) -> None:
    made = await some_agents(tenant, 4)
    gone = await some_agents(tenant, 1)
    await agents.delete(tenant, gone[0].id)
    known = said("first")
    await messages.append(tenant, made[0].id, [known])
    results = await outcomes(
        messages.append(tenant, made[1].id, [said()]),
        messages.append(tenant, gone[0].id, [said()]),
        messages.append(tenant, made[2].id, [said(), NewMessage(role="user", text="x", user_id=gone[0].id)]),
        messages.append(tenant, made[0].id, [known.model_copy(update={"text": "other"})]),
        messages.append(tenant, made[0].id, [known]),
        messages.append(tenant, made[3].id, [said()]),
        messages.append(tenant, made[3].id, [said()]),
    )
    assert [type(result) for result in results] == [
        list, errors.NotFound, errors.NotFound, errors.Conflict, list, list, list,
    ]  # fmt: skip
    assert results[1].entity == "agent"
    assert results[2].entity == "user"
    assert results[3].current.text == "first"
    assert [row.seq for row in results[4] + results[5] + results[6]] == [1, 1, 2]
    assert await messages.count(tenant, made[2].id) == 0


@pytest.mark.own_sessions
async def test_a_row_that_fails_the_whole_statement_fails_only_its_caller(
    dsn: str, db: Database, tenant: Scope
) -> None:
    made = await some_agents(tenant, 5)
    known = said("first")
    async with Database(dsn, DEVELOPMENT) as other, other.tenant(tenant.organization_id).transaction() as tx:
        await messages.append(tx, made[4].id, [known])  # nobody sees it yet
        new = [said("a"), said("b"), known.model_copy(update={"text": "other"}), said("c")]
        calls = [messages.append(tenant, agent.id, [one]) for agent, one in zip(made, new, strict=False)]
        tasks = [asyncio.create_task(call) for call in calls]
        await until_one_waits(other)
    results = await outcomes(*tasks)
    assert [type(result) for result in results] == [list, list, errors.Conflict, list]
    assert [row.text for agent in made for row in await messages.recent(tenant, agent.id)] == ["a", "b", "c", "first"]
    assert statements_of(db)["messages.append_many"] == 1


async def test_the_same_id_from_two_callers_at_once_is_one_row(tenant: Scope) -> None:
    (agent,) = await some_agents(tenant, 1)
    memory, message = NewMemory(agent_id=agent.id, content=TEXT), said()
    rows = await asyncio.gather(*(memories.create(tenant, memory) for _ in range(8)))
    assert len({row.id for row in rows}) == 1
    again = await asyncio.gather(*(messages.create(tenant, agent.id, message) for _ in range(8)))
    assert {row.seq for row in again} == {1}
    other = memory.model_copy(update={"content": "else"})
    new = NewMemory(agent_id=agent.id, content="new")
    results = await outcomes(*(memories.create(tenant, one) for one in (new, other, new)))
    assert [type(result) for result in results] == [type(rows[0]), errors.Conflict, type(rows[0])]


async def test_a_taken_name_fails_only_its_caller(tenant: Scope) -> None:
    names = ["a", "b", "b", "c", "d"]
    results = await outcomes(*(tools.create(tenant, NewTool(name=name)) for name in names))
    assert sorted(result.name for result in results if not isinstance(result, errors.Conflict)) == ["a", "b", "c", "d"]


async def test_a_transaction_keeps_its_statements_to_itself(db: Database, tenant: Scope) -> None:
    made = await some_agents(tenant, 3)
    db.reset_queries()
    async with tenant.transaction() as tx:
        for agent in made:
            await agents.get(tx, agent.id)
            await messages.append(tx, agent.id, [said()])
    assert statements_of(db) == {"agents.get": 3, "messages.append": 3}


async def test_tenants_share_nothing(db: Database, tenant: Scope) -> None:
    neighbour = db.tenant((await organizations.create(db, NewOrganization(name="neighbour"))).id)
    own, foreign = await some_agents(tenant, 5), await some_agents(neighbour, 5)
    ids = [agent.id for agent in own + foreign]
    for scope, visible in ((tenant, own), (neighbour, foreign)):
        got = await asyncio.gather(*(agents.find(scope, agent_id) for agent_id in ids))
        assert [row for row in got if row] == visible
        appended = await outcomes(*(messages.append(scope, agent_id, [said()]) for agent_id in ids))
        assert [isinstance(row, errors.NotFound) for row in appended] == [row is None for row in got]
    both = [agents.get(tenant, a.id) for a in own] + [agents.get(neighbour, a.id) for a in foreign]
    assert await asyncio.gather(*both) == own + foreign


async def test_what_was_cancelled_before_it_was_sent_is_not_stored(db: Database, tenant: Scope) -> None:
    made = await some_agents(tenant, 5)
    async with no_connection_free(db):
        tasks = [asyncio.create_task(messages.append(tenant, agent.id, [said()])) for agent in made]
        await until_queued(db, 2)  # the first by itself, the others together
        tasks[2].cancel()
        tasks[0].cancel()
    await outcomes(*tasks)
    assert [await messages.count(tenant, agent.id) for agent in made] == [0, 1, 0, 1, 1]
    assert db.stats().in_use == 0


async def test_when_all_are_cancelled_nothing_is_sent(db: Database, tenant: Scope) -> None:
    made = await some_agents(tenant, 5)
    db.reset_queries()
    async with no_connection_free(db):
        tasks = [asyncio.create_task(messages.append(tenant, agent.id, [said()])) for agent in made]
        await until_queued(db, 2)
        for task in tasks:
            task.cancel()
    await outcomes(*tasks)
    assert await agents.get(tenant, made[0].id) == made[0]
    assert await messages.count(tenant, made[1].id) == 0
    assert (await messages.append(tenant, made[1].id, [said()]))[0].seq == 1


@pytest.mark.own_sessions
async def test_cancelling_one_whose_row_was_sent_harms_nobody(dsn: str, db: Database, tenant: Scope) -> None:
    made = await some_agents(tenant, 4)
    await agents.get(tenant, made[0].id)
    async with counters_locked(dsn) as beside:
        tasks = [asyncio.create_task(messages.append(tenant, agent.id, [said()])) for agent in made]
        await until_blocked(beside, 2)
        tasks[2].cancel()
    results = await outcomes(*tasks)
    assert [type(result) for result in results] == [list, list, asyncio.CancelledError, list]
    assert [await messages.count(tenant, agent.id) for agent in made] == [1, 1, 1, 1]


@pytest.mark.own_sessions
async def test_a_lost_connection_is_an_error_of_his_own_for_each(dsn: str, db: Database, tenant: Scope) -> None:
    made = await some_agents(tenant, 4)
    async with counters_locked(dsn) as beside:
        tasks = [asyncio.create_task(messages.append(tenant, agent.id, [said()])) for agent in made]
        await until_blocked(beside, 2)
        await beside.execute(END_FLIGHTS)
        results = await outcomes(*tasks[1:])
    assert all(isinstance(result, errors.ConnectionLost) for result in results)
    assert len({id(result) for result in results}) == 3
    await tasks[0]
    assert [await messages.count(tenant, agent.id) for agent in made] == [1, 0, 0, 0]


async def test_without_a_connection_each_is_told(dsn: str) -> None:
    async with Database(dsn, CONFIG.with_(acquire_timeout_s=0.05, min_size=CONFIG.max_size)) as db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="late"))).id)
        made = await some_agents(scope, 3)
        await until_idle(db)
        async with no_connection_free(db):
            results = await outcomes(*(agents.get(scope, agent.id) for agent in made))
        assert [type(result) for result in results] == [errors.PoolTimeout] * 3
        assert len({id(result) for result in results}) == 3
        await until_idle(db)
        assert await asyncio.gather(*(agents.get(scope, agent.id) for agent in made)) == made


async def test_so_many_may_wait_and_no_more(dsn: str) -> None:
    async with Database(dsn, CONFIG.with_(max_waiting=3)) as db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="full"))).id)
        (agent,) = await some_agents(scope, 1)
        async with no_connection_free(db):
            tasks = [asyncio.create_task(agents.get(scope, agent.id)) for _ in range(6)]
            await until_queued(db, 2)
        results = await outcomes(*tasks)
        assert [type(result) is errors.PoolFull for result in results] == [False, False, False, False, True, True]


async def test_a_task_that_holds_the_only_connection_is_told_of_the_deadlock(dsn: str) -> None:
    async with Database(dsn, CONFIG.with_(max_size=1)) as db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="ring"))).id)
        (agent,) = await some_agents(scope, 1)
        async with scope.transaction():
            queued = [asyncio.create_task(agents.get(scope, agent.id)) for _ in range(2)]
            await until_queued(db, 2)
            with pytest.raises(errors.PoolDeadlock):
                await agents.get(scope, agent.id)
        assert await asyncio.gather(*queued) == [agent, agent]


async def test_another_event_loop_is_refused_while_calls_wait(db: Database, tenant: Scope) -> None:
    (agent,) = await some_agents(tenant, 1)
    async with no_connection_free(db):
        task = asyncio.create_task(agents.get(tenant, agent.id))
        await until_queued(db)
        with pytest.raises(errors.UsageError):
            await asyncio.to_thread(lambda: asyncio.run(agents.get(tenant, agent.id)))
    assert await task == agent


async def test_closing_tells_those_who_wait(dsn: str) -> None:
    db = Database(dsn, CONFIG.with_(max_size=1, close_timeout_s=0.05))
    async with db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="closing"))).id)
        (agent,) = await some_agents(scope, 1)
        async with db.connection():
            tasks = [asyncio.create_task(agents.get(scope, agent.id)) for _ in range(3)]
            await until_queued(db, 2)
            await db.close()
        assert [type(result) for result in await outcomes(*tasks)] == [errors.PoolClosed] * 3


async def test_flushes_over_many_agents_and_removals_never_deadlock(tenant: Scope) -> None:
    made = await some_agents(tenant, 30)
    doomed = await some_agents(tenant, 10)
    chance = random.Random(7)

    async def write(_: int) -> list[Any]:
        targets = chance.sample(made + doomed, 10)
        return await outcomes(*(messages.append(tenant, agent.id, [said()]) for agent in targets))

    async def remove() -> None:
        for agent in doomed:
            await agents.hard_delete(tenant, agent.id)

    written, _ = await asyncio.gather(asyncio.gather(*map(write, range(20))), remove())
    failed = [result for of_one in written for result in of_one if isinstance(result, BaseException)]
    assert all(isinstance(result, errors.NotFound) for result in failed)
    for agent in made:
        rows = await messages.recent(tenant, agent.id, limit=100)
        assert [row.seq for row in rows] == [*range(1, len(rows) + 1)]


Call = tuple[int, int, bool]  # which agent, how many messages, whether one is of a user who is not there
CALLS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.booleans()), min_size=2, max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
async def test_together_is_as_one_after_another(tenant: Scope, calls: list[Call]) -> None:
    async def run(scope: Scope, agent_id: UUID, call: Call) -> list[Message] | str:
        _, count, is_bad = call
        new = [said(f"{n}") for n in range(count)]
        if is_bad:
            new[-1] = NewMessage(role="user", text="x", user_id=agent_id)
        try:
            return await messages.append(scope, agent_id, new)
        except errors.NotFound as error:
            return error.entity

    def shape(results: list[list[Message] | str]) -> list[Any]:
        return [one if isinstance(one, str) else [(row.seq, row.text) for row in one] for one in results]

    together, apart = await some_agents(tenant, 4), await some_agents(tenant, 4)
    at_once = await asyncio.gather(*(run(tenant, together[call[0]].id, call) for call in calls))
    in_turn = [await run(tenant, apart[call[0]].id, call) for call in calls]
    assert shape(at_once) == shape(in_turn)


async def test_nothing_is_kept_of_calls_that_are_over(db: Database, tenant: Scope) -> None:
    made = await some_agents(tenant, 5)
    async with no_connection_free(db):
        tasks = [asyncio.create_task(agents.get(tenant, agent.id)) for agent in made]
        await until_queued(db, 2)
        assert tenant.coalescer is not None
        assert len(tenant.coalescer.gatherings) == 1
        for task in tasks[1:]:
            task.cancel()
    await outcomes(*tasks)
    await agents.get(tenant, made[0].id)
    assert not tenant.coalescer.gatherings


class Counting(Kind[int, int]):
    """Numbers, which the statement returns; those that are left out go alone, where `one` says what becomes of them."""

    query = Query("test.many", int, "SELECT n FROM unnest($1::integer[]) AS n")

    def __init__(self, one: Callable[[int], Awaitable[int]], leave_out: bool = False) -> None:
        self._one = one
        self._leave_out = leave_out

    def arguments(self, items: Sequence[int]) -> tuple[Any, ...]:
        if 13 in items:
            raise LookupError("thirteen")
        return (items,)

    def answers(self, items: Sequence[int], records: Sequence[Any]) -> Iterable[int]:
        assert [record[0] for record in records] == list(items)
        return [LEFT_OUT] * len(items) if self._leave_out else items

    async def alone(self, item: int) -> int:
        return await self._one(item)


async def gathered(scope: Scope, kind: Counting, *numbers: int) -> list[Any]:
    """Ask for these numbers while another is under way, and return what became of each."""
    assert scope.coalescer is not None
    return (await outcomes(*(scope.coalescer.call("test", lambda: kind, number) for number in (0, *numbers))))[1:]


async def test_an_error_of_ours_reaches_everyone_and_holds_up_nobody_after(tenant: Scope) -> None:
    async def one(number: int) -> int:
        await agents.count(tenant)
        return number

    kind = Counting(one)
    assert await gathered(tenant, kind, 1, 2) == [1, 2]
    results = await gathered(tenant, kind, 12, 13, 14)
    assert [type(result) for result in results] == [LookupError] * 3
    assert await gathered(tenant, kind, 3) == [3]


async def test_what_is_left_out_goes_alone_until_the_server_is_lost(tenant: Scope) -> None:
    asked: list[int] = []

    async def one(number: int) -> int:
        asked.append(number)
        if number == 2:
            raise errors.NotFound("number")
        if number == 3:
            raise errors.ConnectionLost("gone")
        await agents.count(tenant)
        return number

    results = await gathered(tenant, Counting(one, leave_out=True), 1, 2, 3, 4)
    assert [type(result) for result in results] == [int, errors.NotFound, errors.ConnectionLost, errors.ConnectionLost]
    assert asked == [0, 1, 2, 3]


async def test_a_task_cancelled_with_its_loop_cancels_those_who_wait(tenant: Scope) -> None:
    async def one(number: int) -> int:
        if number:
            raise asyncio.CancelledError
        await agents.count(tenant)
        return number

    results = await gathered(tenant, Counting(one, leave_out=True), 1, 2)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
