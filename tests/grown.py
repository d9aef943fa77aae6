"""A tenant whose one agent has most of the rows, and what the statements of every day may read of it.

What they may read is the same however many rows there are; where it is not, it is said so.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agentmem_store.models.plans import Node
from agentmem_store.statements import (
    agents,
    block_links,
    blocks,
    context,
    memories,
    memory_recall,
    message_append,
    message_search,
    messages,
    search_terms,
    tool_links,
    tools,
    users,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    import asyncpg

    from agentmem_store.query import Query

    Connection = asyncpg.Connection[Any]

__all__ = ["CASES", "Case", "Reading", "plan", "read", "refresh", "seed", "seed_parents"]

_PARENTS: Final = """
    INSERT INTO agentmem.organizations (id, name)
    SELECT md5('o' || n)::uuid, 'n' || n FROM generate_series(0, 20) AS n;
    INSERT INTO agentmem.users (organization_id, id, name, status, created_at)
    SELECT md5('o0')::uuid, md5('u' || n)::uuid, 'n' || n / 3, CASE WHEN n % 2 = 0 THEN 'active' ELSE 'inactive' END,
           now() - n * interval '1 s'
    FROM generate_series(0, 4999) AS n;
    INSERT INTO agentmem.agents (organization_id, id, name, created_at)
    SELECT md5('o0')::uuid, md5('a' || n)::uuid, 'n' || n / 3, now() - n * interval '1 s'
    FROM generate_series(0, 4999) AS n;
    INSERT INTO agentmem.message_counters (organization_id, agent_id, last_seq)
    SELECT md5('o0')::uuid, md5('a' || n)::uuid, 1000000000
    FROM generate_series(0, 4999) AS n;
    INSERT INTO agentmem.tools (organization_id, id, name, tags, created_at)
    SELECT md5('o0')::uuid, md5('t' || n)::uuid, 'n' || n, to_jsonb(ARRAY['t' || n % 1000]), now() - n * interval '1 s'
    FROM generate_series(0, 4999) AS n;
    INSERT INTO agentmem.blocks (organization_id, id, user_id, label, created_at)
    SELECT md5('o0')::uuid, md5('b' || n)::uuid, CASE WHEN n % 2 = 0 THEN md5('u' || n / 20)::uuid END, 'l' || n / 3,
           now() - n * interval '1 s'
    FROM generate_series(0, 4999) AS n;
    INSERT INTO agentmem.blocks_agents (organization_id, agent_id, block_id, block_label)
    SELECT md5('o0')::uuid, md5('a' || n / 4)::uuid, md5('b' || n)::uuid, 'l' || n / 3
    FROM generate_series(0, 4999) AS n;
    INSERT INTO agentmem.tools_agents (organization_id, agent_id, tool_id)
    SELECT md5('o0')::uuid, md5('a' || n / 4)::uuid, md5('t' || n)::uuid
    FROM generate_series(0, 4999) AS n;
"""

# Of the agent a0. One in ten is deleted; each user has a thousandth of the rows, or a few.
_MEMORIES: Final = """
    INSERT INTO agentmem.memories (organization_id, id, agent_id, user_id, content, hash, created_at, importance,
                                   last_accessed, is_deleted, deleted_at)
    SELECT md5('o0')::uuid, md5('m' || n)::uuid, md5('a0')::uuid, md5('u' || n % 1000)::uuid,
           'common' || n % 7 || ' number' || n % 1000, repeat('0', 64), now() - n * interval '1 s', n % 1000 / 1000.0,
           now(), n % 10 = 9, CASE WHEN n % 10 = 9 THEN now() END
    FROM generate_series($1::integer, $2::integer - 1) AS n
"""
_MESSAGES: Final = """
    INSERT INTO agentmem.messages (organization_id, id, agent_id, seq, role, text, user_id, group_id, step_id,
                                   is_deleted, deleted_at)
    SELECT md5('o0')::uuid, md5('g' || n)::uuid, md5('a0')::uuid, n + 1, 'user',
           'common' || n % 7 || ' number' || n % 1000, md5('u' || n % 1000)::uuid, 'g' || n / 50, 's' || n / 5,
           n % 10 = 9, CASE WHEN n % 10 = 9 THEN now() END
    FROM generate_series($1::integer, $2::integer - 1) AS n
"""


async def seed_parents(connection: Connection) -> None:
    """Store a tenant with 5,000 agents, users, tools and blocks, whose first agent has nothing said or kept yet."""
    await connection.execute(_PARENTS)


async def seed(connection: Connection, first: int, last: int) -> None:
    """Store the messages and memories of the first agent from one number to the one before another."""
    await connection.execute(_MEMORIES, first, last)
    await connection.execute(_MESSAGES, first, last)


async def refresh(connection: Connection) -> None:
    """Count the agent's words, as `search.refresh` does, so that a search looks at few of very many rows."""
    for query in (search_terms.REFRESH_MESSAGES, search_terms.REFRESH_MEMORIES):
        await connection.execute(f"PREPARE refresh AS {query.sql}")
        await connection.execute(f"EXECUTE refresh({_O}, {_A}, 30000, 100, 3000)")
        await connection.execute("DEALLOCATE refresh")


@dataclass(frozen=True)
class Case:
    """A statement with arguments.

    Attributes:
        index: by which it finds its rows.
        rows: how many it looks at in tables, at most; None where it is all of the agent's, each once.
        buffers: how many pages it reads, at most; None likewise.
        once_empty: whether that holds of a plan that was made on empty tables.
        by_array: whether rows are found by an array of ids.
        note: what tells it from another case of the same statement.
    """

    query: Query[Any]
    arguments: str
    index: str
    rows: int | None
    buffers: int | None
    once_empty: bool = True
    by_array: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        return self.query.name + self.note


@dataclass(frozen=True)
class Reading:
    """What a statement read when it ran: pages, rows of tables, and by which indexes and table scans."""

    buffers: int
    rows: int
    indexes: frozenset[str]
    scanned: frozenset[str]


_O, _A, _U = "md5('o0')::uuid", "md5('a0')::uuid", "md5('u0')::uuid"
_PAGE = f"{_O}, 51, '9999-01-01', 'ffffffff-ffff-ffff-ffff-ffffffffffff'"
_IDS = "ARRAY[" + ", ".join(f"md5('m{19 * n}')::uuid" for n in range(50)) + "]"
_ALL = "NULL, NULL, NULL, NULL"
_WORDS = "'common1 number701'"
_TEXTS = "ARRAY[NULL]::text[]"
_NEW = (
    f"{_O}, {_A}, ARRAY[md5('new')::uuid], ARRAY['user'], ARRAY['hello'], {_TEXTS}, {_TEXTS}, ARRAY[NULL]::uuid[], "
    f"{', '.join([_TEXTS] * 8)}, ARRAY['{{}}'], ARRAY[NULL]::timestamptz[], ARRAY[NULL]::integer[], true, NULL"
)
_THREADS = (
    ("of_all", "NULL, NULL", "visible"),
    ("of_user", f"{_U}, NULL", "by_user"),
    ("of_group", "NULL, 'g3'", "by_group"),
)


def _by_key() -> list[Case]:
    named = ((agents, "a"), (users, "u"), (tools, "t"), (blocks, "b"), (memories, "m"), (messages, "g"))
    tables = [(module, letter, module.__name__.rpartition(".")[2]) for module, letter in named]
    return [
        Case(module.GET, f"{_O}, md5('{letter}8')::uuid", f"{table}_pkey", 4, 16) for module, letter, table in tables
    ]


def _lists() -> list[Case]:
    pages: list[tuple[Query[Any], str, str]] = [
        (agents.LIST, _PAGE, "agents_by_age"),
        (users.LIST, _PAGE, "users_by_age"),
        (tools.LIST, _PAGE, "tools_by_age"),
        (blocks.LIST, f"{_PAGE}, NULL", "blocks_by_age"),
        (agents.LIST_BY_NAME, f"{_PAGE}, 'n9'", "agents_by_name"),
        (users.LIST_BY_NAME, f"{_PAGE}, 'n9', NULL", "users_by_name"),
        (users.LIST_BY_STATUS, f"{_PAGE}, 'active'", "users_by_status"),
        (blocks.LIST_BY_LABEL, f"{_PAGE}, 'l9', NULL", "blocks_by_label"),
        (blocks.LIST_BY_USER, f"{_PAGE}, {_U}, NULL, NULL", "blocks_by_user"),
        (memory_recall.LIST, f"{_PAGE}, {_ALL}", "memories_by_age"),
        (memory_recall.LIST_BY_AGENT, f"{_PAGE}, {_ALL}, {_A}", "memories_by_agent"),
        (memory_recall.LIST_BY_USER, f"{_PAGE}, {_ALL}, {_U}, NULL", "memories_by_user"),
        (memory_recall.MOST_IMPORTANT, f"{_O}, {_A}, 51", "memories_by_importance"),
    ]
    found = [
        Case(agents.OLDEST_BY_NAME, f"{_O}, 'n9'", "agents_by_name", 2, 12),
        Case(tools.GET_BY_NAME, f"{_O}, 'n9'", "tools_name_key", 2, 12, once_empty=False),
        Case(tools.BY_ALL_TAGS, f"{_PAGE}, '[\"t9\"]'", "tools_by_tag", 6, 24, once_empty=False),
        Case(block_links.BY_AGENT, f"{_O}, {_A}", "blocks_pkey", 20, 60, by_array=True),
        Case(tool_links.BY_AGENT, f"{_O}, {_A}", "tools_pkey", 20, 60, by_array=True),
    ]
    deep = f"{_O}, 51, now() - interval '500 s', md5('x')::uuid, {_ALL}, {_A}"
    rows, buffers = 51 * 3 + 2, 51 * 9 + 10  # each with its agent and its user
    return [
        *(Case(query, arguments, index, rows, buffers) for query, arguments, index in pages),
        Case(memory_recall.LIST_BY_AGENT, deep, "memories_by_agent", rows, buffers, note="_deep"),
        *found,
    ]


def _of_threads() -> Iterator[Case]:
    for kind, thread, ending in _THREADS:
        index, whose = f"messages_{ending}", f"{_O}, {_A}, {thread}"
        yield Case(getattr(messages.RECENT, kind), f"{whose}, 50", index, 60, 90)
        yield Case(getattr(messages.SINCE, kind), f"{whose}, 50, 100", index, 60, 90)
        around = f"{whose}, md5('g{160 if kind == 'of_group' else 0}')::uuid, 5, 5"
        yield Case(getattr(messages.AROUND, kind), around, "messages_pkey", 30, 90, by_array=True)


def _cases() -> Iterator[Case]:
    yield from _by_key()
    yield from _lists()
    yield from _of_threads()
    search = f"{_O}, 10, {_A}, {_ALL}, NULL, {_WORDS}, '{{}}', '{{}}', 1000"
    yield Case(memory_recall.SEARCH, search, "memories_search", 8_000, 10_000, once_empty=False, by_array=True)
    search = f"{_O}, {_A}, NULL, NULL, {_WORDS}, '{{}}', '{{}}', 10, 1000, 200, 0.4, 0.2, 2, {_ALL}"
    yield Case(message_search.SEARCH, search, "messages_search", 8_000, 10_000, once_empty=False, by_array=True)
    yield Case(memories.TOUCH, f"{_O}, {_IDS}", "memories_pkey", 250, 2_000, by_array=True)
    yield Case(message_append.APPEND, _NEW, "messages_pkey", 40, 120)
    for kind, thread, ending in _THREADS:
        turn = f"{_O}, {_A}, {thread}, 4000, 50, NULL, 10, '{{}}', '{{}}', 1000"
        yield Case(getattr(context.ASSEMBLE, kind), turn, f"messages_{ending}", 160, 500, by_array=True)
    yield Case(memory_recall.COUNT_BY_AGENT, f"{_O}, {_A}", "memories_by_agent", None, None)
    yield Case(messages.COUNT.of_all, f"{_O}, {_A}, NULL, NULL", "messages_visible", None, None)
    trim = f"{_O}, {_A}, NULL, NULL, 1000000000, false, NULL"
    yield Case(messages.TRIM.of_all, trim, "messages_visible", None, None, by_array=True)


CASES: Final = tuple(_cases())


async def plan(connection: Connection) -> None:
    """Have the connection make its generic plan of every case, which it keeps until the tables are analyzed."""
    for number, case in enumerate(CASES):
        await connection.execute(f"PREPARE p{number} AS {case.query.sql}")
        await connection.execute(f"EXPLAIN EXECUTE p{number}({case.arguments})")


async def read(connection: Connection, *, once_empty: bool = False) -> dict[Case, Reading]:
    """Run every case, or those that hold `once_empty`, by the plan that is kept, undo it, and return what it read."""
    return {
        case: await _read(connection, f"p{number}({case.arguments})")
        for number, case in enumerate(CASES)
        if case.once_empty or not once_empty
    }


async def _read(connection: Connection, statement: str) -> Reading:
    async with undone(connection):
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE {statement}")
    root = Node.model_validate(json.loads(text)[0]["Plan"])
    run = [node for node in root.walk() if node.was_run]
    looked = (node.rows_in_all + node.removed_in_all for node in run if node.relation and "Scan" in node.kind)
    return Reading(
        buffers=(root.hit or 0) + (root.read or 0),
        rows=round(sum(looked)),
        indexes=frozenset(node.index for node in run if node.index),
        scanned=frozenset(node.relation for node in run if node.kind == "Seq Scan" and node.relation),
    )


@asynccontextmanager
async def undone(connection: Connection) -> AsyncGenerator[None]:
    """Roll back what is done inside."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
