"""Statements that remove rows for good, a batch at a time: what hangs on a parent first, the parent last.

Each one chooses rows in the order of an index, so that it reads no more than it removes; `removal` does the rest.
`table.remove_of_parent` takes $2 the parent's id and $3 the size of the batch; of an organization, $2 the size.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from agentmem_store.models.retention import Batch
from agentmem_store.query import Query
from agentmem_store.statements.removal import (
    COUNTS,
    REMOVE_AGENTS,
    REMOVE_BLOCK_VALUES,
    REMOVE_BLOCKS,
    REMOVE_BLOCKS_AGENTS,
    REMOVE_MEMORIES,
    REMOVE_MEMORIES_AND_WORDS,
    REMOVE_MESSAGE_COUNTERS,
    REMOVE_MESSAGES,
    REMOVE_MESSAGES_AND_WORDS,
    REMOVE_TERM_FREQUENCIES,
    REMOVE_TOOLS,
    REMOVE_TOOLS_AGENTS,
    REMOVE_USERS,
)

# What was deleted, or has expired, by itself. It is locked as it is chosen: what was restored meanwhile stays.

DELETED_MESSAGES: Final = Query("messages.remove_deleted", Batch, """
WITH chosen AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.is_deleted AND m.deleted_at <= $2
    ORDER BY m.deleted_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED""" + REMOVE_MESSAGES)

DELETED_MEMORIES: Final = Query("memories.remove_deleted", Batch, """
WITH chosen AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.is_deleted AND m.deleted_at <= $2
    ORDER BY m.deleted_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED""" + REMOVE_MEMORIES)

EXPIRED_MEMORIES: Final = Query("memories.remove_expired", Batch, """
WITH chosen AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.expires_at <= least($2, now())
    ORDER BY m.expires_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED""" + REMOVE_MEMORIES)

# What hangs on an agent, and the agent.

MESSAGES_OF_AGENT: Final = Query("messages.remove_of_agent", Batch, """
WITH chosen AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2
    ORDER BY m.seq
    LIMIT $3""" + REMOVE_MESSAGES)

MEMORIES_OF_AGENT: Final = Query("memories.remove_of_agent", Batch, """
WITH chosen AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2
    ORDER BY m.created_at DESC, m.id DESC
    LIMIT $3""" + REMOVE_MEMORIES)

BLOCKS_AGENTS_OF_AGENT: Final = Query("blocks_agents.remove_of_agent", Batch, """
WITH chosen AS (
    SELECT l.agent_id, l.block_id
    FROM agentmem.blocks_agents AS l
    WHERE l.organization_id = $1 AND l.agent_id = $2
    ORDER BY l.block_id
    LIMIT $3""" + REMOVE_BLOCKS_AGENTS)

TOOLS_AGENTS_OF_AGENT: Final = Query("tools_agents.remove_of_agent", Batch, """
WITH chosen AS (
    SELECT l.agent_id, l.tool_id
    FROM agentmem.tools_agents AS l
    WHERE l.organization_id = $1 AND l.agent_id = $2
    ORDER BY l.tool_id
    LIMIT $3""" + REMOVE_TOOLS_AGENTS)

MESSAGE_COUNTERS_OF_AGENT: Final = Query("message_counters.remove_of_agent", Batch, """
WITH chosen AS (
    SELECT n.agent_id
    FROM agentmem.message_counters AS n
    WHERE n.organization_id = $1 AND n.agent_id = $2
    LIMIT $3""" + REMOVE_MESSAGE_COUNTERS)

TERM_FREQUENCIES_OF_AGENT: Final = Query("term_frequencies.remove_of_agent", Batch, """
WITH chosen AS (
    SELECT f.source, f.lexeme, f.agent_id
    FROM agentmem.term_frequencies AS f
    WHERE f.organization_id = $1 AND f.agent_id = $2
    LIMIT $3""" + REMOVE_TERM_FREQUENCIES)

AGENT: Final = Query("agents.remove", Batch, """
WITH chosen AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = $2
    LIMIT $3""" + REMOVE_AGENTS)

# What hangs on a block, and the block.

BLOCKS_AGENTS_OF_BLOCK: Final = Query("blocks_agents.remove_of_block", Batch, """
WITH chosen AS (
    SELECT l.agent_id, l.block_id
    FROM agentmem.blocks_agents AS l
    WHERE l.organization_id = $1 AND l.block_id = $2
    LIMIT $3""" + REMOVE_BLOCKS_AGENTS)

BLOCK_VALUES_OF_BLOCK: Final = Query("block_values.remove_of_block", Batch, """
WITH chosen AS (
    SELECT v.block_id, v.version
    FROM agentmem.block_values AS v
    WHERE v.organization_id = $1 AND v.block_id = $2
    ORDER BY v.version
    LIMIT $3""" + REMOVE_BLOCK_VALUES)

BLOCK: Final = Query("blocks.remove", Batch, """
WITH chosen AS (
    SELECT b.id
    FROM agentmem.blocks AS b
    WHERE b.organization_id = $1 AND b.id = $2
    LIMIT $3""" + REMOVE_BLOCKS)

# What hangs on a tool, and the tool.

TOOLS_AGENTS_OF_TOOL: Final = Query("tools_agents.remove_of_tool", Batch, """
WITH chosen AS (
    SELECT l.agent_id, l.tool_id
    FROM agentmem.tools_agents AS l
    WHERE l.organization_id = $1 AND l.tool_id = $2
    LIMIT $3""" + REMOVE_TOOLS_AGENTS)

TOOL: Final = Query("tools.remove", Batch, """
WITH chosen AS (
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.id = $2
    LIMIT $3""" + REMOVE_TOOLS)

# What hangs on a user, and the user. Each of its blocks is removed with what hangs on that.

BLOCKS_OF_USER: Final = Query("blocks.of_user", UUID, """
SELECT b.id
FROM agentmem.blocks AS b
WHERE b.organization_id = $1 AND b.user_id = $2
""")

MESSAGES_OF_USER: Final = Query("messages.remove_of_user", Batch, """
WITH chosen AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.user_id = $2
    ORDER BY m.agent_id, m.seq
    LIMIT $3""" + REMOVE_MESSAGES_AND_WORDS)

MEMORIES_OF_USER: Final = Query("memories.remove_of_user", Batch, """
WITH chosen AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.user_id = $2
    ORDER BY m.created_at DESC, m.id DESC
    LIMIT $3""" + REMOVE_MEMORIES_AND_WORDS)

USER: Final = Query("users.remove", Batch, """
WITH chosen AS (
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.id = $2
    LIMIT $3""" + REMOVE_USERS)

# All that an organization holds, and the organization.

MESSAGES: Final = Query("messages.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1
    ORDER BY m.id
    LIMIT $2""" + REMOVE_MESSAGES)

MEMORIES: Final = Query("memories.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1
    ORDER BY m.id
    LIMIT $2""" + REMOVE_MEMORIES)

BLOCKS_AGENTS: Final = Query("blocks_agents.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT l.agent_id, l.block_id
    FROM agentmem.blocks_agents AS l
    WHERE l.organization_id = $1
    ORDER BY l.agent_id, l.block_id
    LIMIT $2""" + REMOVE_BLOCKS_AGENTS)

TOOLS_AGENTS: Final = Query("tools_agents.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT l.agent_id, l.tool_id
    FROM agentmem.tools_agents AS l
    WHERE l.organization_id = $1
    ORDER BY l.agent_id, l.tool_id
    LIMIT $2""" + REMOVE_TOOLS_AGENTS)

BLOCK_VALUES: Final = Query("block_values.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT v.block_id, v.version
    FROM agentmem.block_values AS v
    WHERE v.organization_id = $1
    ORDER BY v.block_id, v.version
    LIMIT $2""" + REMOVE_BLOCK_VALUES)

MESSAGE_COUNTERS: Final = Query("message_counters.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT n.agent_id
    FROM agentmem.message_counters AS n
    WHERE n.organization_id = $1
    ORDER BY n.agent_id
    LIMIT $2""" + REMOVE_MESSAGE_COUNTERS)

TERM_FREQUENCIES: Final = Query("term_frequencies.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT f.source, f.lexeme, f.agent_id
    FROM agentmem.term_frequencies AS f
    WHERE f.organization_id = $1
    ORDER BY f.agent_id
    LIMIT $2""" + REMOVE_TERM_FREQUENCIES)

BLOCKS: Final = Query("blocks.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT b.id
    FROM agentmem.blocks AS b
    WHERE b.organization_id = $1
    ORDER BY b.id
    LIMIT $2""" + REMOVE_BLOCKS)

TOOLS: Final = Query("tools.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1
    ORDER BY t.id
    LIMIT $2""" + REMOVE_TOOLS)

AGENTS: Final = Query("agents.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1
    ORDER BY a.id
    LIMIT $2""" + REMOVE_AGENTS)

USERS: Final = Query("users.remove_of_organization", Batch, """
WITH chosen AS (
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1
    ORDER BY u.id
    LIMIT $2""" + REMOVE_USERS)

ORGANIZATION: Final = Query("organizations.remove", Batch, """
WITH chosen AS (
    SELECT o.id
    FROM agentmem.organizations AS o
    WHERE o.id = $1
    LIMIT $2
),
free AS (
    SELECT o.id
    FROM agentmem.organizations AS o
    WHERE o.id = $1
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.organizations AS o
    WHERE o.id = $1 AND EXISTS (SELECT FROM free)
    RETURNING o.id
)""" + COUNTS)
