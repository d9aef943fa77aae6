from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.query import Query
from agentmem_store.repositories import agents, blocks, memories, messages, organizations, tools, users
from agentmem_store.retention import PurgeReport, purge, purge_organizations
from agentmem_store.retention.parents import AGENT, BLOCK, ORGANIZATION, TOOL, USER
from agentmem_store.statements import erasure, stamping
from agentmem_store.statements import retention as statements
from tests.killing import killed
from tests.populate import contents, populate, without
from tests.repositories.plans import generic_plan

if TYPE_CHECKING:
    import asyncpg

    from agentmem_store.scope import Root, Scope

    Connection = asyncpg.Connection[Any]

NOW = timedelta(0)


class Stopped(Exception):
    """Raised in the middle of a purge, in place of a kill."""


def stop(_: PurgeReport) -> None:
    raise Stopped


async def test_purge_removes_a_deleted_agent_with_all_that_hangs_on_it(scope: Scope, connection: Connection) -> None:
    people = await populate(scope)
    await agents.delete(scope, people.guide.id)
    before = await contents(connection, scope.organization_id)

    report = await purge(scope, NOW)

    assert report.removed == {
        "messages": 8,
        "memories": 6,
        "blocks_agents": 3,
        "tools_agents": 2,
        "message_counters": 1,
        "term_frequencies": 4,
        "agents": 1,
    }
    assert await contents(connection, scope.organization_id) == without(before, people.guide.id)
    assert await purge(scope, NOW) == PurgeReport()


async def test_purge_removes_a_deleted_user_with_all_that_hangs_on_it(scope: Scope, connection: Connection) -> None:
    people = await populate(scope)
    await agents.set_message_ids(scope, people.guide.id, [])
    await agents.set_message_ids(scope, people.scout.id, [])
    own = [block.id for block in (await blocks.list(scope, user_id=people.ada.id)).items]
    before = await contents(connection, scope.organization_id)
    await users.delete(scope, people.ada.id)

    report = await purge(scope, NOW)

    assert report.removed == {
        "messages": 8, "memories": 6, "blocks_agents": 2, "block_values": 4, "blocks": 1, "users": 1,
        "term_frequencies": 8,
    }  # fmt: skip
    rest = without(before, people.ada.id, *own) | {"term_frequencies": []}
    assert await contents(connection, scope.organization_id) == rest


async def test_purge_removes_deleted_blocks_tools_messages_and_memories(scope: Scope, connection: Connection) -> None:
    people = await populate(scope)
    message = (await messages.recent(scope, people.guide.id, limit=1))[0]
    memory = (await memories.list(scope, agent_id=people.guide.id, limit=1)).items[0]
    for agent in (people.guide, people.scout):
        await agents.set_message_ids(scope, agent.id, [])
    gone = (people.block.id, people.tools[0].id, message.id, memory.id)
    before = await contents(connection, scope.organization_id)
    await blocks.delete(scope, people.block.id)
    await tools.delete(scope, people.tools[0].id)
    await messages.delete(scope, message.id)
    await memories.delete(scope, memory.id)

    report = await purge(scope, NOW)

    assert report.removed == {
        "messages": 1, "memories": 1, "blocks_agents": 2, "block_values": 4, "blocks": 1, "tools_agents": 2, "tools": 1
    }  # fmt: skip
    assert await contents(connection, scope.organization_id) == without(before, *gone)


async def test_purge_removes_what_expired_by_then_and_never_what_has_not(scope: Scope, connection: Connection) -> None:
    now = datetime.now(UTC)
    kept, recent, old = await memories.create_many(
        scope,
        [
            NewMemory(content="x", expires_at=now + timedelta(days=1)),
            NewMemory(content="x", expires_at=now - timedelta(days=1)),
            NewMemory(content="x", expires_at=now - timedelta(days=3)),
        ],
    )
    assert (await purge(scope, timedelta(days=2))).removed == {"memories": 1}
    rows = (await contents(connection, scope.organization_id))["memories"]
    assert [str(old.id) in row for row in rows] == [False, False]
    assert str(recent.id) in "".join(rows)

    assert (await purge(scope, now + timedelta(days=30))).removed == {"memories": 1}
    assert await memories.get(scope, kept.id) == kept


@pytest.mark.parametrize("as_moment", [False, True])
async def test_purge_leaves_what_was_deleted_later(scope: Scope, connection: Connection, as_moment: bool) -> None:
    people = await populate(scope)
    for user in (people.ada, people.bob):
        await users.delete(scope, user.id)
    await connection.execute(
        "UPDATE agentmem.users SET deleted_at = now() - interval '8 days' WHERE id = $1", people.bob.id
    )
    week = timedelta(days=7)

    report = await purge(scope, datetime.now(UTC) - week if as_moment else week)

    assert report.removed["users"] == 1
    assert (await users.restore(scope, people.ada.id)).name == "Ada"
    assert await messages.count(scope, people.guide.id, user_id=people.ada.id) == 4
    with pytest.raises(errors.NotFound):
        await users.restore(scope, people.bob.id)


@pytest.mark.parametrize("table", ["users", "agents", "blocks", "tools"])
async def test_what_purge_has_begun_to_remove_cannot_be_restored(scope: Scope, table: str) -> None:
    people = await populate(scope)
    repository: Any = {"users": users, "agents": agents, "blocks": blocks, "tools": tools}[table]
    subject = {"users": people.ada, "agents": people.guide, "blocks": people.block, "tools": people.tools[0]}[table]
    await repository.delete(scope, subject.id)
    with pytest.raises(Stopped):
        await purge(scope, NOW, batch_size=1, on_progress=stop)

    with pytest.raises(errors.NotFound):
        await repository.restore(scope, subject.id)
    assert await repository.restore_many(scope, [subject.id]) == 0

    report = await purge(scope, timedelta(days=365))
    assert report.removed[table] == 1, "what was begun is finished, whatever the age that is asked for"


async def test_an_organization_that_purge_has_begun_to_remove_cannot_be_restored(root: Root, scope: Scope) -> None:
    await populate(scope)
    await organizations.delete(root, scope.organization_id)
    with pytest.raises(Stopped):
        await purge_organizations(root, NOW, batch_size=1, on_progress=stop)
    with pytest.raises(errors.NotFound):
        await organizations.restore(root, scope.organization_id)
    assert (await purge_organizations(root, timedelta(days=365))).removed["organizations"] == 1


async def test_the_schema_keeps_a_stamped_row_deleted(scope: Scope, connection: Connection) -> None:
    people = await populate(scope)
    await agents.delete(scope, people.guide.id)
    await connection.execute("UPDATE agentmem.agents SET purged_at = now() WHERE id = $1", people.guide.id)
    with pytest.raises(Exception, match="agents_purged_stays_deleted"):
        await connection.execute(
            "UPDATE agentmem.agents SET is_deleted = false, deleted_at = NULL WHERE id = $1", people.guide.id
        )


async def test_purge_goes_in_batches_and_tells_of_each(scope: Scope) -> None:
    people = await populate(scope, turns=10)
    await agents.delete(scope, people.guide.id)
    told: list[int] = []

    report = await purge(scope, NOW, batch_size=3, on_progress=lambda so_far: told.append(sum(so_far.removed.values())))

    steps = [after - before for before, after in zip([0, *told], told, strict=False)]
    assert all(0 < step <= 3 for step in steps)
    assert told[-1] == sum(report.removed.values()) == 20 + 6 + 3 + 2 + 1 + 4 + 1


async def test_purge_is_of_one_organization(scope: Scope, other: Scope, connection: Connection) -> None:
    for tenant in (scope, other):
        people = await populate(tenant)
        await agents.delete(tenant, people.guide.id)
        await users.delete(tenant, people.ada.id)
    before = await contents(connection, other.organization_id)
    await purge(scope, NOW)
    assert await contents(connection, other.organization_id) == before


async def test_purge_organizations_removes_deleted_ones_whole(
    root: Root, scope: Scope, other: Scope, connection: Connection
) -> None:
    for tenant in (scope, other):
        await populate(tenant)
    await organizations.delete(root, scope.organization_id)
    held = await contents(connection, scope.organization_id)
    before = await contents(connection, other.organization_id)
    assert await purge_organizations(root, timedelta(days=1)) == PurgeReport()

    report = await purge_organizations(root, NOW, batch_size=5)

    assert report.removed == {table: len(rows) for table, rows in held.items()}
    assert not any((await contents(connection, scope.organization_id)).values())
    assert await contents(connection, other.organization_id) == before


@pytest.mark.parametrize(
    ("age", "field"),
    [
        (timedelta(days=-1), "older_than"),
        (timedelta(days=365_001), "older_than"),
        (datetime(2020, 1, 1), "older_than"),  # noqa: DTZ001
        (7, "older_than"),
        (None, "older_than"),
    ],
)
async def test_purge_refuses_an_age_that_means_nothing(scope: Scope, root: Root, age: Any, field: str) -> None:
    for call in (purge(scope, age), purge_organizations(root, age)):
        with pytest.raises(errors.ValidationError, match=field):
            await call


@pytest.mark.parametrize("size", [0, 10_001, True, 1.5])
async def test_purge_refuses_a_batch_out_of_bounds(scope: Scope, root: Root, size: Any) -> None:
    for call in (purge(scope, NOW, batch_size=size), purge_organizations(root, NOW, batch_size=size)):
        with pytest.raises(errors.ValidationError, match="batch_size"):
            await call


@pytest.mark.own_sessions
async def test_purge_waits_for_nobody_and_leaves_what_others_hold(tenant: Scope) -> None:
    people = await populate(tenant)
    held = (await messages.recent(tenant, people.guide.id, limit=1))[0]
    loose = (await messages.recent(tenant, people.scout.id, limit=1))[0]
    async with tenant.transaction() as tx:
        await messages.delete(tx, held.id)
        async with asyncio.timeout(20):
            await messages.delete(tenant, loose.id)
            await agents.delete(tenant, people.guide.id)
            removed = (await purge(tenant, NOW)).removed
        assert (removed["messages"], removed.get("agents")) == (8, None), "all but the one that is held"
    assert (await purge(tenant, NOW)).removed == {"messages": 1, "agents": 1}


async def test_purge_works_while_others_write_and_with_one_connection(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(min_size=1, max_size=1)) as db:
        organization = await organizations.create(db, NewOrganization(name="busy"))
        scope = db.tenant(organization.id)
        people = await populate(scope, turns=20)
        await users.delete(scope, people.ada.id)
        await agents.delete(scope, people.scout.id)

        async def write(writer: int) -> list[int]:
            rows = []
            for turn in range(20):
                new = NewMessage(role="user", text=f"{writer}:{turn}", user_id=people.bob.id)
                rows += await messages.append(scope, people.guide.id, [new])
                assert len(await messages.recent(scope, people.guide.id, limit=5)) == 5
            return [row.seq for row in rows]

        purging = asyncio.create_task(purge(scope, NOW, batch_size=2))
        written = await asyncio.gather(*(write(n) for n in range(3)))
        report = await purging

        assert (report.removed["users"], report.removed["agents"]) == (1, 1)
        assert sorted(seq for places in written for seq in places) == list(range(41, 101))
        left = await messages.recent(scope, people.guide.id, limit=1000)
        assert [row.seq for row in left] == [*range(2, 41, 2), *range(41, 101)]


async def test_a_purge_that_was_killed_anywhere_is_finished_by_the_next(db: Database, tenant: Scope) -> None:
    people = await populate(tenant, turns=10)
    async with db.connection() as connection:
        before = await contents(connection, tenant.organization_id)
    own = [block.id for block in (await blocks.list(tenant, user_id=people.ada.id)).items]
    await users.delete(tenant, people.ada.id)
    await tools.delete(tenant, people.tools[0].id)
    await agents.delete(tenant, people.scout.id)
    dice = random.Random(7)

    async def slowly(scope: Scope) -> PurgeReport:
        return await purge(scope, NOW, batch_size=1)

    for _ in range(20):
        assert await killed(tenant, slowly, dice.randrange(4, 12), dice.randrange(4)), "all of it was done too soon"

    await purge(tenant, NOW)

    gone = without(before, people.tools[0].id, people.scout.id, *own)
    async with db.connection() as connection:
        after = await contents(connection, tenant.organization_id)
    # Of the user only the entries of the guide's list stay, which name messages and not the user.
    left = without(gone, people.ada.id) | {"term_frequencies": []}
    assert {table: len(rows) for table, rows in after.items()} == {table: len(rows) for table, rows in left.items()}
    assert (await purge(tenant, NOW)) == PurgeReport()


SEED = """
    INSERT INTO agentmem.organizations (id, name)
    SELECT uuid(md5('o' || n)), 'o' FROM generate_series(0, 1999) AS n;
    INSERT INTO agentmem.users (organization_id, id, name)
    SELECT uuid(md5('o' || n % 20)), uuid(md5('u' || n)), 'u' FROM generate_series(0, 19999) AS n;
    INSERT INTO agentmem.agents (organization_id, id)
    SELECT uuid(md5('o' || n % 20)), uuid(md5('a' || n)) FROM generate_series(0, 19999) AS n;
    INSERT INTO agentmem.message_counters (organization_id, agent_id)
    SELECT a.organization_id, a.id FROM agentmem.agents AS a;
    INSERT INTO agentmem.messages (organization_id, id, agent_id, user_id, seq, role)
    SELECT uuid(md5('o' || n % 20)), uuid(md5('m' || n)), uuid(md5('a' || n % 200)),
           uuid(md5('u' || n % 200)), n + 1, 'user'
    FROM generate_series(0, 19999) AS n;
    INSERT INTO agentmem.blocks (organization_id, id, user_id, label)
    SELECT uuid(md5('o' || n % 20)), uuid(md5('b' || n)), uuid(md5('u' || n % 200)), 'b'
    FROM generate_series(0, 19999) AS n;
    INSERT INTO agentmem.block_values (organization_id, block_id, version, value)
    SELECT uuid(md5('o' || n % 20)), uuid(md5('b' || n % 2000)), n + 1, '' FROM generate_series(0, 19999) AS n;
    INSERT INTO agentmem.tools (organization_id, id, name)
    SELECT uuid(md5('o' || n % 20)), uuid(md5('t' || n)), 't' || n FROM generate_series(0, 19999) AS n;
    INSERT INTO agentmem.blocks_agents (organization_id, agent_id, block_id, block_label)
    SELECT uuid(md5('o' || n % 20)), uuid(md5('a' || n)), uuid(md5('b' || n % 2000)), 'b'
    FROM generate_series(0, 19999) AS n;
    INSERT INTO agentmem.tools_agents (organization_id, agent_id, tool_id)
    SELECT uuid(md5('o' || n % 20)), uuid(md5('a' || n)), uuid(md5('t' || n % 2000))
    FROM generate_series(0, 19999) AS n;
    INSERT INTO agentmem.memories (organization_id, id, agent_id, user_id, content, hash, expires_at)
    SELECT uuid(md5('o' || n % 20)), uuid(md5('y' || n)), uuid(md5('a' || n % 200)),
           uuid(md5('u' || n % 200)), 'x', repeat('0', 64), CASE WHEN n % 100 = 0 THEN now() END
    FROM generate_series(0, 19999) AS n;
    INSERT INTO agentmem.term_frequencies (organization_id, source, lexeme, agent_id, frequency)
    SELECT uuid(md5('o' || n % 20)), 'messages', 'w' || n / 200, uuid(md5('a' || n % 200)), 100
    FROM generate_series(0, 19999) AS n;
"""
FEW_DELETED = ("organizations", "users", "agents", "messages", "blocks", "tools", "memories")


def queries_of(*modules: Any) -> list[Query[Any]]:
    return [value for module in modules for value in vars(module).values() if isinstance(value, Query)]


@pytest.mark.own_sessions
@pytest.mark.parametrize("is_empty", [False, True])
async def test_plans_find_what_goes_without_reading_what_lives(db: Database, is_empty: bool) -> None:
    """Planned on 20,000 rows of which few are deleted, and planned before there were any rows."""
    async with db.connection() as connection, connection.transaction():
        if not is_empty:
            await connection.execute("SET LOCAL session_replication_role = replica")  # no foreign keys to check
            await connection.execute(SEED)
            for table in FEW_DELETED:
                await connection.execute(
                    f"UPDATE agentmem.{table} SET is_deleted = true, deleted_at = now() WHERE ctid < '(0,20)'"
                )
            await connection.execute("ANALYZE")
        for query in queries_of(statements, stamping, erasure):
            plan = await generic_plan(connection, query)
            assert "Seq Scan on" not in plan, f"{query.name}\n{plan}"
            if query.name.endswith((".due", "_deleted")):
                assert "_to_purge" in plan, f"{query.name}\n{plan}"
            if query.name.endswith("_expired"):
                assert "memories_by_expiry" in plan, plan


async def test_every_table_that_hangs_on_a_parent_is_removed_before_it(connection: Connection) -> None:
    """Read from the catalogue: a table that is added later, with a foreign key to a parent, cannot be forgotten."""
    rows = await connection.fetch("""
        SELECT DISTINCT c.confrelid::regclass::text AS parent, c.conrelid::regclass::text AS child
        FROM pg_constraint AS c
        WHERE c.connamespace = 'agentmem'::regnamespace AND c.contype = 'f'
    """)
    parents = {"organizations": ORGANIZATION, "users": USER, "agents": AGENT, "blocks": BLOCK, "tools": TOOL}
    for parent, child in rows:
        steps = parents[parent.removeprefix("agentmem.")]
        removed = {query.name.partition(".")[0] for query in steps.children} | ({"blocks"} if steps.blocks else set())
        assert child.removeprefix("agentmem.") in removed, f"{child} hangs on {parent}"
