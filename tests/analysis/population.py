"""Rows in every table, enough of them that a missing index would be felt: as after some weeks of use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

__all__ = ["fill"]

# Two thousand organizations, of which four hold most; ten busy agents among many quiet ones; some rows are hidden,
# and of the messages most, as after a trim.
_STATEMENTS = [
    """
    CREATE FUNCTION pg_temp.an_id(kind text, i bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN md5(kind || i)::uuid
    """,
    """
    INSERT INTO agentmem.organizations (id, name, created_at, is_deleted, deleted_at)
    SELECT pg_temp.an_id('o', i), 'organization ' || i, now() - i * interval '1 hour',
           i % 50 = 49, CASE WHEN i % 50 = 49 THEN now() - i * interval '1 minute' END
    FROM generate_series(0, 1999) AS i
    """,
    """
    INSERT INTO agentmem.users (organization_id, id, name, status, created_at, is_deleted, deleted_at)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('u', i), 'user ' || i,
           CASE WHEN i % 10 = 0 THEN 'inactive' ELSE 'active' END, now() - i * interval '1 minute',
           i % 50 = 49, CASE WHEN i % 50 = 49 THEN now() - i * interval '1 minute' END
    FROM generate_series(0, 7999) AS i
    """,
    """
    INSERT INTO agentmem.agents (organization_id, id, name, created_at, is_deleted, deleted_at)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('a', i), 'agent ' || i, now() - i * interval '1 minute',
           i % 50 = 49, CASE WHEN i % 50 = 49 THEN now() - i * interval '1 minute' END
    FROM generate_series(0, 7999) AS i
    """,
    """
    INSERT INTO agentmem.message_counters (organization_id, agent_id, last_seq)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('a', i), 100000
    FROM generate_series(0, 7999) AS i
    """,
    """
    INSERT INTO agentmem.messages
        (organization_id, id, agent_id, seq, role, text, user_id, group_id, step_id, is_deleted, deleted_at)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('m', i), pg_temp.an_id('a', i % 8), i + 1, 'user',
           'word' || i % 900,
           CASE WHEN i % 3 > 0 THEN pg_temp.an_id('u', i % 400) END, CASE WHEN i % 3 > 1 THEN 'g' || i % 500 END,
           's' || i / 4, i % 5 < 3, CASE WHEN i % 5 < 3 THEN now() - i * interval '1 minute' END
    FROM generate_series(0, 23999) AS i
    """,
    """
    INSERT INTO agentmem.memories
        (organization_id, id, agent_id, user_id, content, hash, dedup_hash, importance, created_at, expires_at,
         memory_type, is_deleted, deleted_at)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('e', i), pg_temp.an_id('a', i % 8), pg_temp.an_id('u', i % 400),
           'fact ' || i, encode(sha256(i::text::bytea), 'hex'),
           CASE WHEN i % 2 = 0 THEN encode(sha256(i::text::bytea), 'hex') END, (i % 100) / 100.0,
           now() - i * interval '1 second', CASE WHEN i % 4 = 0 THEN now() + i * interval '1 second' END,
           'kind ' || i % 5, i % 50 = 49, CASE WHEN i % 50 = 49 THEN now() - i * interval '1 minute' END
    FROM generate_series(0, 23999) AS i
    """,
    """
    INSERT INTO agentmem.blocks
        (organization_id, id, user_id, label, value, created_at, is_template, template_name, is_deleted, deleted_at)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('b', i), pg_temp.an_id('u', i % 4000), 'label ' || i % 500, 'value',
           now() - i * interval '1 minute', i % 4 = 0, CASE WHEN i % 4 = 0 THEN 'template ' || i % 500 END,
           i % 50 = 49, CASE WHEN i % 50 = 49 THEN now() - i * interval '1 minute' END
    FROM generate_series(0, 11999) AS i
    """,
    """
    INSERT INTO agentmem.block_values (organization_id, block_id, version, value)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('b', i % 4000), 1 + i / 4000, 'earlier'
    FROM generate_series(0, 11999) AS i
    """,
    """
    INSERT INTO agentmem.blocks_agents (organization_id, agent_id, block_id, block_label)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('a', i % 8), pg_temp.an_id('b', i), 'label ' || i
    FROM generate_series(0, 11999) AS i
    """,
    """
    INSERT INTO agentmem.tools (organization_id, id, name, tags, created_at, is_deleted, deleted_at)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('t', i), 'tool ' || i, jsonb_build_array('tag ' || i % 300),
           now() - i * interval '1 minute',
           i % 50 = 49, CASE WHEN i % 50 = 49 THEN now() - i * interval '1 minute' END
    FROM generate_series(0, 7999) AS i
    """,
    """
    INSERT INTO agentmem.tools_agents (organization_id, agent_id, tool_id)
    SELECT pg_temp.an_id('o', i % 4), pg_temp.an_id('a', i % 8), pg_temp.an_id('t', i)
    FROM generate_series(0, 7999) AS i
    """,
    """
    INSERT INTO agentmem.term_frequencies (organization_id, source, lexeme, agent_id, frequency)
    SELECT pg_temp.an_id('o', i % 4), CASE WHEN i % 2 = 0 THEN 'messages' ELSE 'memories' END, 'word' || i,
           pg_temp.an_id('a', i % 4000), 1000
    FROM generate_series(0, 11999) AS i
    """,
    "SELECT pg_stat_force_next_flush()",
    "VACUUM (ANALYZE)",
]


async def fill(connection: asyncpg.Connection[Any]) -> None:
    """Fill a migrated, empty database, and have it analyzed."""
    for statement in _STATEMENTS:
        await connection.execute(statement)
