"""What an application writes by hand on this schema: the idiom and psycopg send these statements.

They are plainer than ours: no look at parents, versions or what is stored already; a search finds rows with all words.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from uuid_utils.compat import uuid7

from agentmem_store.statements import agents, blocks, memories, messages, tools
from bench import seed

if TYPE_CHECKING:
    from bench.seed import World

GET: Final = f"""
SELECT {agents.COLUMNS}
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND a.id = $2 AND NOT a.is_deleted
"""
CREATE: Final = f"""
INSERT INTO agentmem.agents AS a (organization_id, id, name)
VALUES ($1, $2, $3)
RETURNING {agents.COLUMNS}
"""
AGENTS: Final = f"""
SELECT {agents.COLUMNS}
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND NOT a.is_deleted
ORDER BY a.created_at DESC, a.id DESC
LIMIT $2
"""
RENAME: Final = f"""
UPDATE agentmem.agents AS a
SET name = $3, updated_at = now()
WHERE a.organization_id = $1 AND a.id = $2 AND NOT a.is_deleted
RETURNING {agents.COLUMNS}
"""
DELETE: Final = f"""
UPDATE agentmem.agents AS a
SET is_deleted = true, deleted_at = now()
WHERE a.organization_id = $1 AND a.id = $2 AND NOT a.is_deleted
RETURNING {agents.COLUMNS}
"""
RECENT: Final = f"""
SELECT {messages.COLUMNS}
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
ORDER BY m.seq DESC
LIMIT $3
"""
# The schema wants a place in the conversation for each message; this is the shortest way to it.
APPEND: Final = f"""
WITH counter AS (
    UPDATE agentmem.message_counters
    SET last_seq = last_seq + 1
    WHERE organization_id = $1 AND agent_id = $3
    RETURNING last_seq
)
INSERT INTO agentmem.messages AS m (organization_id, id, agent_id, seq, role, text)
SELECT $1, $2, $3, counter.last_seq, $4, $5
FROM counter
RETURNING {messages.COLUMNS}
"""
PAGE: Final = f"""
SELECT {memories.COLUMNS}
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
ORDER BY m.created_at DESC, m.id DESC
LIMIT $3
"""
TOUCH: Final = """
UPDATE agentmem.memories
SET access_count = access_count + 1, last_accessed = now()
WHERE organization_id = $1 AND id = ANY ($2::uuid[]) AND NOT is_deleted
"""
REMEMBER: Final = f"""
INSERT INTO agentmem.memories AS m (organization_id, id, agent_id, content, hash)
VALUES ($1, $2, $3, $4, $5)
RETURNING {memories.COLUMNS}
"""
SEARCH: Final = f"""
SELECT {memories.COLUMNS}
FROM agentmem.memories AS m, plainto_tsquery('english', $3) AS query
WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted AND m.search @@ query
ORDER BY ts_rank(m.search, query) DESC
LIMIT $4
"""
BLOCKS: Final = f"""
SELECT {blocks.COLUMNS}
FROM agentmem.blocks AS m
JOIN agentmem.blocks_agents AS l ON l.organization_id = m.organization_id AND l.block_id = m.id
WHERE l.organization_id = $1 AND l.agent_id = $2 AND NOT m.is_deleted
"""
TOOLS: Final = f"""
SELECT {tools.COLUMNS}
FROM agentmem.tools AS t
JOIN agentmem.tools_agents AS l ON l.organization_id = t.organization_id AND l.tool_id = t.id
WHERE l.organization_id = $1 AND l.agent_id = $2 AND NOT t.is_deleted
"""
COPY: Final = "COPY agentmem.memories (organization_id, id, agent_id, content, hash) FROM STDIN"


def memory_record(world: World, text: str) -> tuple[Any, ...]:
    """Return a new memory of the first agent as the columns of `REMEMBER` and `COPY`."""
    return world.organization_id, uuid7(), world.agent(0), text, sha256(text.encode()).hexdigest()


def memory_records(world: World, size: int) -> list[tuple[Any, ...]]:
    """Return a batch of new memories."""
    return [memory_record(world, text) for text in seed.texts(size)]
