"""Statements that take one agent, $2, out as JSON, with all that it needs to stand elsewhere. See `transfer`.

What is linked to an agent is little: it is found first and sorted then. In one step, with sorting off, the way in the
right order would lead through all that the organization has.
"""

from __future__ import annotations

from typing import Final

from agentmem_store.query import Query
from agentmem_store.statements.transfer import (
    AGENT_COLUMNS,
    BLOCK_COLUMNS,
    BLOCK_LINK_COLUMNS,
    BLOCK_VALUE_COLUMNS,
    COUNTER_COLUMNS,
    MEMORY_COLUMNS,
    MESSAGE_COLUMNS,
    TOOL_COLUMNS,
    TOOL_LINK_COLUMNS,
    USER_COLUMNS,
)

# For a progress bar: the tables that can be long.
COUNT: Final = Query("transfer_agent.count", int, """
SELECT (SELECT count(*) FROM agentmem.messages WHERE organization_id = $1 AND agent_id = $2)
     + (SELECT count(*) FROM agentmem.memories WHERE organization_id = $1 AND agent_id = $2)
""")

# Those whom the agent's messages and memories and the blocks linked to it refer to.
USERS: Final = Query("transfer_agent.users", str, """
WITH r AS MATERIALIZED (
    SELECT """ + USER_COLUMNS + """
    FROM agentmem.users
    WHERE organization_id = $1
      AND id IN (SELECT m.user_id
                 FROM agentmem.messages AS m
                 WHERE m.organization_id = $1 AND m.agent_id = $2
                 UNION
                 SELECT m.user_id
                 FROM agentmem.memories AS m
                 WHERE m.organization_id = $1 AND m.agent_id = $2
                 UNION
                 SELECT b.user_id
                 FROM agentmem.blocks_agents AS l
                 JOIN agentmem.blocks AS b ON b.organization_id = $1 AND b.id = l.block_id
                 WHERE l.organization_id = $1 AND l.agent_id = $2)
)
SELECT row_to_json(r)::text
FROM r
ORDER BY r.id
""")

AGENT: Final = Query("transfer_agent.agent", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + AGENT_COLUMNS + """
      FROM agentmem.agents
      WHERE organization_id = $1 AND id = $2) AS r
""")

COUNTER: Final = Query("transfer_agent.counter", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + COUNTER_COLUMNS + """
      FROM agentmem.message_counters
      WHERE organization_id = $1 AND agent_id = $2) AS r
""")

MESSAGES: Final = Query("transfer_agent.messages", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + MESSAGE_COLUMNS + """
      FROM agentmem.messages
      WHERE organization_id = $1 AND agent_id = $2) AS r
ORDER BY r.seq
""")

BLOCKS: Final = Query("transfer_agent.blocks", str, """
WITH r AS MATERIALIZED (
    SELECT """ + BLOCK_COLUMNS + """
    FROM agentmem.blocks
    WHERE organization_id = $1
      AND id IN (SELECT l.block_id
                 FROM agentmem.blocks_agents AS l
                 WHERE l.organization_id = $1 AND l.agent_id = $2)
)
SELECT row_to_json(r)::text
FROM r
ORDER BY r.id
""")

BLOCK_VALUES: Final = Query("transfer_agent.block_values", str, """
WITH r AS MATERIALIZED (
    SELECT """ + BLOCK_VALUE_COLUMNS + """
    FROM agentmem.block_values
    WHERE organization_id = $1
      AND block_id IN (SELECT l.block_id
                       FROM agentmem.blocks_agents AS l
                       WHERE l.organization_id = $1 AND l.agent_id = $2)
)
SELECT row_to_json(r)::text
FROM r
ORDER BY r.block_id, r.version
""")

BLOCK_LINKS: Final = Query("transfer_agent.block_links", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + BLOCK_LINK_COLUMNS + """
      FROM agentmem.blocks_agents
      WHERE organization_id = $1 AND agent_id = $2) AS r
ORDER BY r.block_id
""")

TOOLS: Final = Query("transfer_agent.tools", str, """
WITH r AS MATERIALIZED (
    SELECT """ + TOOL_COLUMNS + """
    FROM agentmem.tools
    WHERE organization_id = $1
      AND id IN (SELECT l.tool_id
                 FROM agentmem.tools_agents AS l
                 WHERE l.organization_id = $1 AND l.agent_id = $2)
)
SELECT row_to_json(r)::text
FROM r
ORDER BY r.id
""")

TOOL_LINKS: Final = Query("transfer_agent.tool_links", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + TOOL_LINK_COLUMNS + """
      FROM agentmem.tools_agents
      WHERE organization_id = $1 AND agent_id = $2) AS r
ORDER BY r.tool_id
""")

MEMORIES: Final = Query("transfer_agent.memories", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + MEMORY_COLUMNS + """
      FROM agentmem.memories
      WHERE organization_id = $1 AND agent_id = $2) AS r
ORDER BY r.is_deleted, r.created_at DESC, r.id DESC
""")
