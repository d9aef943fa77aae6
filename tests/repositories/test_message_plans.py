from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from agentmem_store import connect
from agentmem_store.statements import message_append
from agentmem_store.statements import messages as statements
from tests.repositories.plans import generic_plan, rows_read, scans_of, skip_where_arrays_are_filters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import asyncpg

    from agentmem_store.query import Query

    Connection = asyncpg.Connection[Any]

ROWS, BUSY_ROWS, LIMIT = 4_000, 20_000, 10


@pytest.fixture
async def fresh(dsn: str) -> AsyncIterator[Connection]:
    """A connection to a database of its own, where no statistics have been gathered."""
    connection = await connect.connect(dsn)
    yield connection
    await connection.close()


class Seeded:
    """Two agents with long conversations whose oldest nine tenths were trimmed, many users, and as many threads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.organization, self.agent, self.busy = uuid7(), uuid7(), uuid7()
        self.users: list[UUID] = [uuid7() for _ in range(200)]

    async def seed(self) -> None:
        run = self.connection.execute
        await run("INSERT INTO agentmem.organizations (id, name) VALUES ($1, 'o')", self.organization)
        await run(
            "INSERT INTO agentmem.agents (organization_id, id) SELECT $1, unnest($2::uuid[])",
            self.organization,
            [self.agent, self.busy],
        )
        await run(
            "INSERT INTO agentmem.users (organization_id, id, name) SELECT $1, unnest($2::uuid[]), 'u'",
            self.organization,
            self.users,
        )
        for agent, rows in ((self.agent, ROWS), (self.busy, BUSY_ROWS)):
            await run(
                """
                INSERT INTO agentmem.messages
                    (organization_id, id, agent_id, seq, role, text, user_id, group_id, is_deleted, deleted_at)
                SELECT $1, gen_random_uuid(), $2, i, 'user', 'word' || i, ($3::uuid[])[1 + i % 200], 'g' || i % 200,
                       i <= $4 * 9 / 10, CASE WHEN i <= $4 * 9 / 10 THEN now() END
                FROM generate_series(1, $4) AS i
                """,
                self.organization,
                agent,
                self.users,
                rows,
            )
        await run("ANALYZE")

    async def scans(self, query: Query[Any], *args: Any) -> list[dict[str, Any]]:
        return await scans_of(self.connection, "messages", query, self.organization, self.agent, *args)


@pytest.fixture
async def seeded(fresh: Connection) -> Seeded:
    made = Seeded(fresh)
    await made.seed()
    return made


async def test_reads_in_order_pass_over_no_hidden_rows(seeded: Seeded) -> None:
    for query, args in (
        (statements.RECENT.of_all, (None, None, LIMIT)),
        (statements.SINCE.of_all, (None, None, LIMIT, 0)),
    ):
        (scan,) = await seeded.scans(query, *args)
        assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "messages_visible"), query.name
        assert rows_read(scan) == LIMIT, query.name


async def test_counting_reads_what_can_be_seen(seeded: Seeded) -> None:
    (scan,) = await seeded.scans(statements.COUNT.of_all, None, None)
    assert scan["Node Type"] in {"Index Only Scan", "Index Scan", "Bitmap Heap Scan"}
    assert rows_read(scan) == ROWS // 10


async def test_a_user_or_a_thread_is_read_by_its_own_index(seeded: Seeded) -> None:
    (scan,) = await seeded.scans(statements.RECENT.of_user, seeded.users[0], None, 2)
    assert scan["Index Name"] == "messages_by_user"
    assert rows_read(scan) == 2
    (scan,) = await seeded.scans(statements.RECENT.of_group, None, "g0", 2)
    assert scan["Index Name"] == "messages_by_group"
    assert rows_read(scan) == 2


async def test_trimming_looks_at_what_can_be_seen(seeded: Seeded) -> None:
    scans = await seeded.scans(statements.TRIM.of_all, None, None, 10, False, None)
    reads = [scan for scan in scans if "Index Name" in scan and scan["Index Name"] != "messages_pkey"]
    assert {scan["Index Name"] for scan in reads} == {"messages_visible"}
    assert max(map(rows_read, reads)) <= ROWS // 10


async def test_around_reads_only_the_neighbours(seeded: Seeded) -> None:
    message_id = await seeded.connection.fetchval(
        "SELECT id FROM agentmem.messages WHERE agent_id = $1 AND seq = $2", seeded.agent, ROWS - 100
    )
    scans = await seeded.scans(statements.AROUND.of_all, None, None, message_id, 3, 3)
    assert sum(map(rows_read, scans)) <= 16


@pytest.mark.parametrize(
    "query",
    [
        statements.GET,
        statements.GET_MANY,
        message_append.STORED,
        statements.UPDATE,
        statements.DELETE,
        statements.RESTORE,
        statements.HARD_DELETE,
        message_append.APPEND,
        message_append.APPEND_MANY,
    ],
    ids=lambda query: query.name,
)
@pytest.mark.own_sessions
async def test_rows_are_found_by_their_key_even_if_planned_on_an_empty_table(
    fresh: Connection, query: Query[Any]
) -> None:
    await skip_where_arrays_are_filters(fresh)
    lines = (await generic_plan(fresh, query)).splitlines()
    reads = [at for at, line in enumerate(lines) if " on messages" in line and "Scan" in line]
    assert reads
    for at in reads:
        assert "using messages_pkey" in lines[at]
        assert "Index Cond: ((organization_id = $1) AND (id = " in lines[at + 1]
