"""Statements that store lines of JSON, $2, in the organization $1 and return how many were new. See `transfer`.

A row whose key is there already stays as it is; whether that is right is for the caller to say.
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
    ORGANIZATION_COLUMNS,
    TOOL_COLUMNS,
    TOOL_LINK_COLUMNS,
    USER_COLUMNS,
)

ORGANIZATION: Final = Query("transfer_load.organization", int, """
WITH stored AS (
    INSERT INTO agentmem.organizations (id,""" + ORGANIZATION_COLUMNS + """)
    SELECT $1,""" + ORGANIZATION_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.organizations, line::json) AS r
    ON CONFLICT (id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

USERS: Final = Query("transfer_load.users", int, """
WITH stored AS (
    INSERT INTO agentmem.users (organization_id,""" + USER_COLUMNS + """)
    SELECT $1,""" + USER_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.users, line::json) AS r
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

AGENTS: Final = Query("transfer_load.agents", int, """
WITH stored AS (
    INSERT INTO agentmem.agents (organization_id,""" + AGENT_COLUMNS + """)
    SELECT $1,""" + AGENT_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.agents, line::json) AS r
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

COUNTERS: Final = Query("transfer_load.counters", int, """
WITH stored AS (
    INSERT INTO agentmem.message_counters (organization_id,""" + COUNTER_COLUMNS + """)
    SELECT $1,""" + COUNTER_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.message_counters, line::json) AS r
    ON CONFLICT (organization_id, agent_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

MESSAGES: Final = Query("transfer_load.messages", int, """
WITH stored AS (
    INSERT INTO agentmem.messages (organization_id,""" + MESSAGE_COLUMNS + """)
    SELECT $1,""" + MESSAGE_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.messages, line::json) AS r
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

BLOCKS: Final = Query("transfer_load.blocks", int, """
WITH stored AS (
    INSERT INTO agentmem.blocks (organization_id,""" + BLOCK_COLUMNS + """)
    SELECT $1,""" + BLOCK_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.blocks, line::json) AS r
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

BLOCK_VALUES: Final = Query("transfer_load.block_values", int, """
WITH stored AS (
    INSERT INTO agentmem.block_values (organization_id,""" + BLOCK_VALUE_COLUMNS + """)
    SELECT $1,""" + BLOCK_VALUE_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.block_values, line::json) AS r
    ON CONFLICT (organization_id, block_id, version) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

BLOCK_LINKS: Final = Query("transfer_load.block_links", int, """
WITH stored AS (
    INSERT INTO agentmem.blocks_agents (organization_id,""" + BLOCK_LINK_COLUMNS + """)
    SELECT $1,""" + BLOCK_LINK_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.blocks_agents, line::json) AS r
    ON CONFLICT (organization_id, agent_id, block_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

TOOLS: Final = Query("transfer_load.tools", int, """
WITH stored AS (
    INSERT INTO agentmem.tools (organization_id,""" + TOOL_COLUMNS + """)
    SELECT $1,""" + TOOL_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.tools, line::json) AS r
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

TOOL_LINKS: Final = Query("transfer_load.tool_links", int, """
WITH stored AS (
    INSERT INTO agentmem.tools_agents (organization_id,""" + TOOL_LINK_COLUMNS + """)
    SELECT $1,""" + TOOL_LINK_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.tools_agents, line::json) AS r
    ON CONFLICT (organization_id, agent_id, tool_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")

MEMORIES: Final = Query("transfer_load.memories", int, """
WITH stored AS (
    INSERT INTO agentmem.memories (organization_id,""" + MEMORY_COLUMNS + """)
    SELECT $1,""" + MEMORY_COLUMNS + """
    FROM unnest($2::text[]) AS line, json_populate_record(NULL::agentmem.memories, line::json) AS r
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
""")
