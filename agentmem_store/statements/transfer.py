"""Statements that take an organization out as JSON, a row to a line, and put such lines back.

The server writes the JSON and the server reads it, so no value passes through Python's types: numbers keep their
digits, times their microseconds. A line leaves out the organization, which is $1 on both ways, and what is generated.
The lists of columns are the form of the file: a column that a migration adds must be added here too (a test says so).
"""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.transfer import Beginning
from agentmem_store.query import Query

_STATE: Final[LiteralString] = """
             version, created_at, updated_at, created_by_id, last_updated_by_id,
             is_deleted, deleted_at, deleted_by_id"""
_PURGE: Final[LiteralString] = """, purged_at"""

ORGANIZATION_COLUMNS: Final[LiteralString] = """
             name, language, metadata,""" + _STATE + _PURGE

USER_COLUMNS: Final[LiteralString] = """
             id, name, status, timezone, metadata,""" + _STATE + _PURGE

AGENT_COLUMNS: Final[LiteralString] = """
             id, name, agent_type, description, system, topic, message_ids, metadata, llm_config, embedding_config,
             tool_rules, mcp_tools,""" + _STATE + _PURGE

COUNTER_COLUMNS: Final[LiteralString] = """
             agent_id, last_seq"""

MESSAGE_COLUMNS: Final[LiteralString] = """
             id, agent_id, seq, user_id, group_id, role, name, text, content, model, tool_calls, tool_call_id,
             tool_returns, step_id, otid, sender_id, token_count, language, metadata,""" + _STATE

BLOCK_COLUMNS: Final[LiteralString] = """
             id, user_id, label, value, "limit", description, is_template, template_name, metadata,""" + _STATE + _PURGE

BLOCK_VALUE_COLUMNS: Final[LiteralString] = """
             block_id, version, value, undone_to, replaced_at, replaced_by_id"""

BLOCK_LINK_COLUMNS: Final[LiteralString] = """
             agent_id, block_id, block_label, created_at, created_by_id"""

TOOL_COLUMNS: Final[LiteralString] = """
             id, name, description, json_schema, source_type, source_code, tags, metadata,""" + _STATE + _PURGE

TOOL_LINK_COLUMNS: Final[LiteralString] = """
             agent_id, tool_id, created_at, created_by_id"""

MEMORY_COLUMNS: Final[LiteralString] = """
             id, agent_id, user_id, content, hash, dedup_hash, memory_type, scope, level, importance, score,
             access_count, last_accessed, expires_at, language, metadata,""" + _STATE

# Settings for the rest of the transaction. How a time and a number are written depends on the session's, which a role
# or an application may have changed. And rows have to come as they are read, in the order of an index: left to choose,
# the planner sorts a tenant that fills the table, so that the first row comes when the last is made, by way of disk.
BEGIN: Final = Query("transfer.begin", Beginning, """
SELECT (SELECT o.is_deleted
        FROM agentmem.organizations AS o
        WHERE o.id = $1)                                                                   AS is_deleted,
       (SELECT coalesce(max(m.version), 0)
        FROM agentmem.schema_migrations AS m
        WHERE m.track = 'core')                                                            AS schema_version,
       now()                                                                               AS began_at,
       concat_ws(', ', set_config('TimeZone', 'UTC', true),
                       set_config('extra_float_digits', '1', true),
                       set_config('enable_sort', 'off', true))                             AS settings
""")

# For a progress bar: the tables that can be long.
COUNT: Final = Query("transfer.count", int, """
SELECT (SELECT count(*) FROM agentmem.users        WHERE organization_id = $1)
     + (SELECT count(*) FROM agentmem.agents       WHERE organization_id = $1)
     + (SELECT count(*) FROM agentmem.messages     WHERE organization_id = $1)
     + (SELECT count(*) FROM agentmem.blocks       WHERE organization_id = $1)
     + (SELECT count(*) FROM agentmem.block_values WHERE organization_id = $1)
     + (SELECT count(*) FROM agentmem.memories     WHERE organization_id = $1)
""")

# What an organization holds, in the order of a key.

ORGANIZATION: Final = Query("transfer.organization", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + ORGANIZATION_COLUMNS + """
      FROM agentmem.organizations
      WHERE id = $1) AS r
""")

USERS: Final = Query("transfer.users", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + USER_COLUMNS + """
      FROM agentmem.users
      WHERE organization_id = $1) AS r
ORDER BY r.id
""")

AGENTS: Final = Query("transfer.agents", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + AGENT_COLUMNS + """
      FROM agentmem.agents
      WHERE organization_id = $1) AS r
ORDER BY r.id
""")

COUNTERS: Final = Query("transfer.counters", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + COUNTER_COLUMNS + """
      FROM agentmem.message_counters
      WHERE organization_id = $1) AS r
ORDER BY r.agent_id
""")

MESSAGES: Final = Query("transfer.messages", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + MESSAGE_COLUMNS + """
      FROM agentmem.messages
      WHERE organization_id = $1) AS r
ORDER BY r.agent_id, r.seq
""")

BLOCKS: Final = Query("transfer.blocks", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + BLOCK_COLUMNS + """
      FROM agentmem.blocks
      WHERE organization_id = $1) AS r
ORDER BY r.id
""")

BLOCK_VALUES: Final = Query("transfer.block_values", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + BLOCK_VALUE_COLUMNS + """
      FROM agentmem.block_values
      WHERE organization_id = $1) AS r
ORDER BY r.block_id, r.version
""")

BLOCK_LINKS: Final = Query("transfer.block_links", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + BLOCK_LINK_COLUMNS + """
      FROM agentmem.blocks_agents
      WHERE organization_id = $1) AS r
ORDER BY r.agent_id, r.block_id
""")

TOOLS: Final = Query("transfer.tools", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + TOOL_COLUMNS + """
      FROM agentmem.tools
      WHERE organization_id = $1) AS r
ORDER BY r.id
""")

TOOL_LINKS: Final = Query("transfer.tool_links", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + TOOL_LINK_COLUMNS + """
      FROM agentmem.tools_agents
      WHERE organization_id = $1) AS r
ORDER BY r.agent_id, r.tool_id
""")

MEMORIES: Final = Query("transfer.memories", str, """
SELECT row_to_json(r)::text
FROM (SELECT """ + MEMORY_COLUMNS + """
      FROM agentmem.memories
      WHERE organization_id = $1) AS r
ORDER BY r.id
""")
