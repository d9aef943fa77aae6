from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from agentmem_store import connect
from agentmem_store.statements import memories as by_id
from agentmem_store.statements import memory_recall as recall
from tests.repositories.plans import generic_plan, rows_read, scans_of, skip_where_arrays_are_filters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import asyncpg

    from agentmem_store.query import Query

    Connection = asyncpg.Connection[Any]

TOP = ("9999-01-01", "ffffffff-ffff-ffff-ffff-ffffffffffff")
NO_FILTERS = (None, None, None, None)
LIMIT = 50
AGENTS = 2


@pytest.fixture
async def fresh(dsn: str) -> AsyncIterator[Connection]:
    """A connection to a database of its own, where no statistics have been gathered."""
    connection = await connect.connect(dsn)
    yield connection
    await connection.close()


class Seeded:
    """Memories of one organization, of which nine in ten are deleted."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.organization, self.user = uuid7(), uuid7()
        self.agents: list[UUID] = [uuid7() for _ in range(AGENTS)]

    async def seed(self, rows: int) -> None:
        run = self.connection.execute
        await run("INSERT INTO agentmem.organizations (id, name) VALUES ($1, 'o')", self.organization)
        await run(
            "INSERT INTO agentmem.agents (organization_id, id) SELECT $1, unnest($2::uuid[])",
            self.organization,
            self.agents,
        )
        await run(
            "INSERT INTO agentmem.users (organization_id, id, name) VALUES ($1, $2, 'u')", self.organization, self.user
        )
        await run(
            """
            INSERT INTO agentmem.memories
                (organization_id, id, agent_id, user_id, content, hash, created_at, importance, is_deleted, deleted_at)
            SELECT $1, gen_random_uuid(), ($2::uuid[])[1 + i % $4::integer], $3, 'word' || i, repeat('0', 64),
                   now() - i * interval '1 s', i % 100 / 100.0,
                   i / $4 % 10 > 0, CASE WHEN i / $4 % 10 > 0 THEN now() END
            FROM generate_series(1, $5) AS i
            """,
            self.organization,
            self.agents,
            self.user,
            AGENTS,
            rows,
        )
        await run("ANALYZE")

    async def scans(self, query: Query[Any], *args: Any) -> list[dict[str, Any]]:
        """Run the query by its generic plan, and return the nodes that read memories."""
        return await scans_of(self.connection, "memories", query, self.organization, *args)


@pytest.fixture
async def seeded(fresh: Connection) -> Seeded:
    made = Seeded(fresh)
    await made.seed(10_000)
    return made


async def test_lists_read_no_hidden_rows(seeded: Seeded) -> None:
    page = (LIMIT, *TOP, *NO_FILTERS)
    for query, args in (
        (recall.LIST, page),
        (recall.LIST_BY_AGENT, (*page, seeded.agents[0])),
        (recall.LIST_BY_USER, (*page, seeded.user, None)),
        (recall.MOST_IMPORTANT, (seeded.agents[0], LIMIT)),
    ):
        (scan,) = await seeded.scans(query, *args)
        assert scan["Node Type"] == "Index Scan", query.name
        assert rows_read(scan) <= 2 * LIMIT, query.name


async def test_most_important_reads_only_what_it_shows(seeded: Seeded) -> None:
    (scan,) = await seeded.scans(recall.MOST_IMPORTANT, seeded.agents[0], LIMIT)
    assert (scan["Index Name"], scan["Actual Rows"]) == ("memories_by_importance", LIMIT)


async def test_search_goes_through_the_index_of_words(seeded: Seeded) -> None:
    scans = await seeded.scans(recall.SEARCH, LIMIT, None, None, *NO_FILTERS, "word2000", "{}", "{}", 1000)
    counted = [scan for scan in scans if scan["Alias"].startswith("f")]
    assert sum(rows_read(scan) for scan in counted) <= 3_000, "rows are counted to know what is rare, up to a bound"
    by_words = [scan for scan in scans if scan["Node Type"] == "Bitmap Heap Scan" and scan not in counted]
    assert by_words
    assert sum(rows_read(scan) for scan in by_words) <= 1


@pytest.mark.parametrize(
    "query",
    [
        by_id.GET,
        by_id.CREATE_STORED,
        by_id.CREATE_REFUSALS,
        by_id.COPY_DEFAULTS,
        by_id.UPDATE,
        by_id.DELETE,
        by_id.RESTORE,
        by_id.HARD_DELETE,
        by_id.TOUCH,
    ],
    ids=lambda query: query.name,
)
@pytest.mark.own_sessions
async def test_rows_are_found_by_their_key_even_if_planned_on_an_empty_table(
    fresh: Connection, query: Query[Any]
) -> None:
    await skip_where_arrays_are_filters(fresh)
    lines = (await generic_plan(fresh, query)).splitlines()
    reads = [at for at, line in enumerate(lines) if " on memories" in line and "Scan" in line]
    assert reads
    for at in reads:
        assert "using memories_pkey" in lines[at]
        assert "Index Cond: ((organization_id = $1) AND (id = " in lines[at + 1]
    assert not any("Join" in line or "Nested Loop" in line for line in lines)
