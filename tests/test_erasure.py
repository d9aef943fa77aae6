from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.users import NewUser, UserChanges
from agentmem_store.repositories import agents, blocks, memories, messages, organizations, users
from agentmem_store.retention import EraseReport, erase_agent, erase_organization, erase_user
from agentmem_store.scope import Scope
from tests.killing import killed
from tests.populate import COLUMNS, TABLES, Population, contents, count_words, populate, talk, without

if TYPE_CHECKING:
    import asyncpg

    from agentmem_store.query import Query
    from agentmem_store.scope import Root

    Connection = asyncpg.Connection[Any]

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
ERASE: dict[str, Any] = {"user": erase_user, "agent": erase_agent}


def subject_of(people: Population, kind: str) -> UUID:
    return people.ada.id if kind == "user" else people.guide.id


async def sign(connection: Connection, actor_id: UUID, organization_id: UUID) -> None:
    """Let somebody have acted on every row of an organization, in every way that the schema can tell."""
    for table, column, _ in await connection.fetch(COLUMNS):
        if column.endswith("_by_id") or column == "sender_id":
            key = "id" if table == "organizations" else "organization_id"
            await connection.execute(f"UPDATE agentmem.{table} SET {column} = $1 WHERE {key} = $2", *(
                (str(actor_id).upper() if column == "sender_id" else actor_id), organization_id,
            ))  # fmt: skip


async def named(connection: Connection, someone: UUID) -> dict[str, int]:
    """Count the rows of all organizations that name somebody, in every column that could."""
    found = {}
    for table, column, kind in await connection.fetch(COLUMNS):
        test = f"$1 = ANY ({column}::text[])" if kind == "_uuid" else f"lower({column}::text) = $1"
        found[f"{table}.{column}"] = await connection.fetchval(
            f"SELECT count(*) FROM agentmem.{table} WHERE {test}", str(someone)
        )
    return found


@pytest.mark.parametrize("kind", ["user", "agent"])
async def test_erase_leaves_nothing_that_names_the_subject(scope: Scope, connection: Connection, kind: str) -> None:
    people = await populate(scope)
    subject_id = subject_of(people, kind)
    await sign(connection, subject_id, scope.organization_id)

    report = await ERASE[kind](scope, subject_id, batch_size=3)

    assert not any(report.remaining.values())
    assert {name: rows for name, rows in (await named(connection, subject_id)).items() if rows} == {}
    everything = await contents(connection, scope.organization_id)
    assert not [row for rows in everything.values() for row in rows if str(subject_id) in row.lower()]


async def test_erase_covers_every_column_that_can_name_somebody(
    root: Root, scope: Scope, connection: Connection
) -> None:
    """Read from the catalogue: a table or column that is added later cannot be forgotten."""
    people = await populate(scope)
    await sign(connection, people.ada.id, scope.organization_id)
    before = await named(connection, people.ada.id)
    of_user = await erase_user(scope, people.ada.id)
    of_agent = await erase_agent(scope, people.guide.id)
    of_organization = await erase_organization(root, scope.organization_id)

    columns = {f"{table}.{column}" for table, column, _ in await connection.fetch(COLUMNS)}
    assert set(of_user.remaining) | set(of_agent.remaining) == columns
    signed = {name for name in columns if name.endswith("_by_id") or name == "messages.sender_id"}
    assert signed <= set(of_user.remaining) & set(of_agent.remaining)
    assert all(before[name] for name in signed), "tests/populate.py puts a row into every table"
    assert set(of_user.cleared) == signed | {"agents.message_ids"}
    assert set(of_organization.remaining) == {row[0] for row in await connection.fetch(TABLES)}


async def test_erase_user_reports_what_it_removed_and_cleared(scope: Scope) -> None:
    people = await populate(scope)
    acting = Scope(scope._executor, scope._observer, scope.organization_id, people.ada.id)
    await users.update(acting, people.bob.id, UserChanges(name="Robert"))

    report = await erase_user(acting, people.ada.id)

    assert report.removed == {
        "blocks_agents": 2, "block_values": 4, "blocks": 1, "messages": 8, "memories": 6, "term_frequencies": 8,
        "users": 1,
    }  # fmt: skip
    assert report.cleared == {"agents.message_ids": 8, "users.last_updated_by_id": 1}
    again = await erase_user(scope, people.ada.id)
    assert (again.removed, again.cleared) == ({}, {})
    assert again.remaining == report.remaining


async def test_erase_user_takes_words_from_the_agents_it_talked_to_alone(scope: Scope, connection: Connection) -> None:
    people = await populate(scope)
    await erase_agent(scope, people.guide.id)
    talker, quiet = await users.create_many(scope, [NewUser(name="talker"), NewUser(name="quiet")])
    agent = await agents.create(scope, NewAgent(name="new"))
    await talk(scope, agent, [talker], 8)
    await memories.create_many(
        scope, [NewMemory(agent_id=agent.id, user_id=quiet.id, content="fact") for _ in range(5)]
    )
    await count_words(scope, agent)

    assert (await erase_user(scope, people.bob.id, batch_size=1)).removed["term_frequencies"] == 4
    rows = (await contents(connection, scope.organization_id))["term_frequencies"]
    assert [str(agent.id) in row for row in rows] == [True] * 4
    assert (await erase_user(scope, quiet.id, batch_size=2)).removed["term_frequencies"] == 4
    assert (await contents(connection, scope.organization_id))["term_frequencies"] == []


async def test_erase_user_shortens_lists_and_leaves_holes_and_the_counter(scope: Scope) -> None:
    people = await populate(scope)
    unknown = uuid4()
    before = await agents.append_message_ids(scope, people.guide.id, [unknown])
    own = {row.id for row in await messages.recent(scope, people.guide.id, user_id=people.ada.id)}

    await erase_user(scope, people.ada.id)

    after = await agents.get(scope, people.guide.id)
    assert after.message_ids == [one for one in before.message_ids if one not in own]
    assert (len(after.message_ids), after.message_ids[-1]) == (5, unknown)
    assert after.version == before.version + 1
    assert [row.seq for row in await messages.recent(scope, people.guide.id)] == [2, 4, 6, 8]
    (row,) = await messages.append(scope, people.guide.id, [NewMessage(role="user", text="next")])
    assert row.seq == 9


@pytest.mark.parametrize("kind", ["user", "agent"])
async def test_erase_leaves_others_as_they_were(scope: Scope, other: Scope, connection: Connection, kind: str) -> None:
    """Other tenants, even where they name the same id; and in this one, every row that is not the subject's."""
    people, strangers = await populate(scope), await populate(other)
    subject_id = subject_of(people, kind)
    await sign(connection, subject_id, other.organization_id)
    own = [] if kind == "agent" else [row.id for row in (await blocks.list(scope, user_id=subject_id)).items]
    for agent in (people.guide, people.scout):
        await agents.set_message_ids(scope, agent.id, [])
    before = await contents(connection, scope.organization_id)
    foreign = await contents(connection, other.organization_id)

    await ERASE[kind](scope, subject_id)

    rest = without(before, subject_id, *own) | ({"term_frequencies": []} if kind == "user" else {})
    assert await contents(connection, scope.organization_id) == rest
    assert await contents(connection, other.organization_id) == foreign
    assert await messages.count(other, strangers.guide.id) == 8


async def test_erase_of_a_foreign_id_finds_nothing(scope: Scope, other: Scope, connection: Connection) -> None:
    people = await populate(scope)
    before = await contents(connection, scope.organization_id)
    for kind, erase in ERASE.items():
        report = await erase(other, subject_of(people, kind))
        assert (report.removed, report.cleared) == ({}, {})
    assert await contents(connection, scope.organization_id) == before


async def test_erase_takes_an_actor_without_a_row_out_of_what_stays(scope: Scope, connection: Connection) -> None:
    people = await populate(scope)
    service = uuid4()
    acting = Scope(scope._executor, scope._observer, scope.organization_id, service)
    await agents.update(acting, people.guide.id, AgentChanges(topic="erasure"))
    await agents.delete(acting, people.scout.id)

    report = await erase_user(scope, service)

    assert (report.removed, report.cleared) == ({}, {"agents.last_updated_by_id": 1, "agents.deleted_by_id": 1})
    assert not any((await named(connection, service)).values())


async def test_erase_reaches_what_is_deleted_already(scope: Scope, root: Root, connection: Connection) -> None:
    people = await populate(scope)
    await users.delete(scope, people.ada.id)
    await agents.delete(scope, people.guide.id)
    await organizations.delete(root, scope.organization_id)
    await erase_user(scope, people.ada.id)
    await erase_agent(scope, people.guide.id)
    for someone in (people.ada.id, people.guide.id):
        assert not any((await named(connection, someone)).values())


async def test_erase_organization_removes_it_whole(
    root: Root, scope: Scope, other: Scope, connection: Connection
) -> None:
    for tenant in (scope, other):
        await populate(tenant)
    held = await contents(connection, scope.organization_id)
    foreign = await contents(connection, other.organization_id)

    report = await erase_organization(root, scope.organization_id, batch_size=3)

    assert report.removed == {table: len(rows) for table, rows in held.items()}
    assert set(report.remaining.values()) == {0}
    assert not any((await contents(connection, scope.organization_id)).values())
    assert await contents(connection, other.organization_id) == foreign
    assert (await erase_organization(root, scope.organization_id)).removed == {}


async def test_nothing_that_names_the_subject_may_be_left(scope: Scope, connection: Connection) -> None:
    """What others write for it between the clearing and the proof is told, and goes with the next erasure."""
    people = await populate(scope)

    class Interrupted(Scope):
        async def fetch_one(self, query: Query[Any], *args: Any) -> Any:
            if query.name == "organizations.mentions":
                new = NewMessage(role="user", text="late", sender_id=str(people.ada.id))
                await messages.append(scope, people.guide.id, [new])
            return await super().fetch_one(query, *args)

    with pytest.raises(errors.Conflict, match=r"messages\.sender_id") as caught:
        await erase_user(Interrupted(scope._executor, scope._observer, scope.organization_id, None), people.ada.id)

    assert caught.value.current.remaining["messages.sender_id"] == 1
    assert str(people.ada.id) not in str(caught.value)
    assert (await erase_user(scope, people.ada.id)).cleared == {"messages.sender_id": 1}


@pytest.mark.parametrize("kind", ["user", "agent"])
async def test_an_erasure_that_stopped_half_way_keeps_the_subject_away(scope: Scope, kind: str) -> None:
    people = await populate(scope)
    repository: Any = users if kind == "user" else agents

    class Broken(Scope):
        async def fetch_one(self, query: Query[Any], *args: Any) -> Any:
            if query.name.startswith("memories.remove"):
                raise asyncio.CancelledError
            return await super().fetch_one(query, *args)

    with pytest.raises(asyncio.CancelledError):
        await ERASE[kind](
            Broken(scope._executor, scope._observer, scope.organization_id, None), subject_of(people, kind)
        )
    with pytest.raises(errors.NotFound):
        await repository.restore(scope, subject_of(people, kind))
    assert (await ERASE[kind](scope, subject_of(people, kind))).removed[f"{kind}s"] == 1


@pytest.mark.parametrize("kind", ["user", "agent"])
async def test_an_erasure_that_was_killed_anywhere_is_finished_by_the_next(
    db: Database, tenant: Scope, kind: str
) -> None:
    people = await populate(tenant, turns=6)
    async with db.connection() as connection:
        await sign(connection, subject_of(people, kind), tenant.organization_id)
    dice = random.Random(11)

    async def slowly(scope: Scope) -> EraseReport:
        report: EraseReport = await ERASE[kind](scope, subject_of(people, kind), batch_size=1)
        return report

    kills = [await killed(tenant, slowly, dice.randrange(1, 10 + 6 * n), dice.randrange(4)) for n in range(20)]
    assert sum(kills) > 10

    await ERASE[kind](tenant, subject_of(people, kind))

    async with db.connection() as connection:
        assert not any((await named(connection, subject_of(people, kind))).values())
        rest = await contents(connection, tenant.organization_id)
    if kind == "user":
        assert (len(rest["messages"]), len(rest["memories"]), len(rest["blocks"])) == (12, 12, 2)
    else:
        assert (len(rest["messages"]), len(rest["memories"]), len(rest["blocks"])) == (12, 12, 3)


@pytest.mark.own_sessions
async def test_erase_waits_for_those_who_hold_a_row(db: Database, tenant: Scope) -> None:
    people = await populate(tenant)
    held = (await messages.recent(tenant, people.guide.id, user_id=people.ada.id, limit=1))[0]
    async with tenant.transaction() as tx:
        await messages.delete(tx, held.id)
        erasing = asyncio.create_task(erase_user(tenant, people.ada.id))
        async with db.connection() as connection, asyncio.timeout(20):
            while not await connection.fetchval(WAITING):
                assert not erasing.done()
    report = await erasing
    assert (report.removed["messages"], report.removed["users"]) == (8, 1)


async def test_erase_works_while_others_write_and_with_one_connection(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(min_size=1, max_size=1)) as db:
        organization = await organizations.create(db, NewOrganization(name="busy"))
        scope = db.tenant(organization.id)
        people = await populate(scope, turns=20)

        async def write(writer: int) -> list[int]:
            rows = []
            for turn in range(20):
                new = NewMessage(role="user", text=f"{writer}:{turn}", user_id=people.bob.id)
                rows += await messages.append(scope, people.guide.id, [new])
                await agents.append_message_ids(scope, people.guide.id, [new.id])
                assert len(await messages.recent(scope, people.guide.id, limit=5)) == 5
            return [row.seq for row in rows]

        erasing = asyncio.create_task(erase_user(scope, people.ada.id, batch_size=2))
        written = await asyncio.gather(*(write(n) for n in range(3)))
        report = await erasing

        assert (report.removed["users"], report.removed["messages"]) == (1, 40)
        assert sorted(seq for places in written for seq in places) == list(range(41, 101))
        left = await messages.recent(scope, people.guide.id, limit=1000)
        assert [row.seq for row in left] == [*range(2, 41, 2), *range(41, 101)]
        assert set((await agents.get(scope, people.guide.id)).message_ids) == {row.id for row in left}


@pytest.mark.parametrize("wrong", ["x", None, 7])
async def test_erase_refuses_what_is_no_id(scope: Scope, root: Root, wrong: Any) -> None:
    for call in (erase_user(scope, wrong), erase_agent(scope, wrong), erase_organization(root, wrong)):
        with pytest.raises(errors.ValidationError):
            await call
    with pytest.raises(errors.ValidationError, match="batch_size"):
        await erase_user(scope, uuid4(), batch_size=0)
