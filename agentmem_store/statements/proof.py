"""Statements that prove an erasure by count: how many rows of each table still name somebody. $2 is the id."""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.retention import Mentions, OrganizationRest
from agentmem_store.query import Query

# For rows `m`.
AUDIT_COUNTS: Final[LiteralString] = """
       count(*) FILTER (WHERE m.created_by_id = $2)      AS created_by_id,
       count(*) FILTER (WHERE m.last_updated_by_id = $2) AS last_updated_by_id,
       count(*) FILTER (WHERE m.deleted_by_id = $2)      AS deleted_by_id"""

IN_ORGANIZATION: Final = Query("organizations.mentions", Mentions, """
SELECT""" + AUDIT_COUNTS + """
FROM agentmem.organizations AS m
WHERE m.id = $1
""")

IN_USERS: Final = Query("users.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.id = $2) AS id,""" + AUDIT_COUNTS + """
FROM agentmem.users AS m
WHERE m.organization_id = $1
""")

IN_AGENTS: Final = Query("agents.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.id = $2) AS id,""" + AUDIT_COUNTS + """
FROM agentmem.agents AS m
WHERE m.organization_id = $1
""")

IN_MESSAGE_COUNTERS: Final = Query("message_counters.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.agent_id = $2) AS agent_id
FROM agentmem.message_counters AS m
WHERE m.organization_id = $1
""")

IN_MESSAGES: Final = Query("messages.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.agent_id = $2)                     AS agent_id,
       count(*) FILTER (WHERE m.user_id = $2)                      AS user_id,
       count(*) FILTER (WHERE lower(m.sender_id) = $2::uuid::text) AS sender_id,""" + AUDIT_COUNTS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1
""")

IN_BLOCKS: Final = Query("blocks.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.user_id = $2) AS user_id,""" + AUDIT_COUNTS + """
FROM agentmem.blocks AS m
WHERE m.organization_id = $1
""")

IN_BLOCKS_AGENTS: Final = Query("blocks_agents.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.agent_id = $2)      AS agent_id,
       count(*) FILTER (WHERE m.created_by_id = $2) AS created_by_id
FROM agentmem.blocks_agents AS m
WHERE m.organization_id = $1
""")

IN_BLOCK_VALUES: Final = Query("block_values.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.replaced_by_id = $2) AS replaced_by_id
FROM agentmem.block_values AS m
WHERE m.organization_id = $1
""")

IN_TOOLS: Final = Query("tools.mentions", Mentions, """
SELECT""" + AUDIT_COUNTS + """
FROM agentmem.tools AS m
WHERE m.organization_id = $1
""")

IN_TOOLS_AGENTS: Final = Query("tools_agents.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.agent_id = $2)      AS agent_id,
       count(*) FILTER (WHERE m.created_by_id = $2) AS created_by_id
FROM agentmem.tools_agents AS m
WHERE m.organization_id = $1
""")

IN_MEMORIES: Final = Query("memories.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.agent_id = $2) AS agent_id,
       count(*) FILTER (WHERE m.user_id = $2)  AS user_id,""" + AUDIT_COUNTS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1
""")

IN_TERM_FREQUENCIES: Final = Query("term_frequencies.mentions", Mentions, """
SELECT count(*) FILTER (WHERE m.agent_id = $2) AS agent_id
FROM agentmem.term_frequencies AS m
WHERE m.organization_id = $1
""")

# Entries of in-context lists, while the messages are there that they name.
_LISTED: Final[LiteralString] = """
SELECT count(*) AS message_ids
FROM agentmem.agents AS m
CROSS JOIN unnest(m.message_ids) AS entry (id)
WHERE m.organization_id = $1
  AND $2 = (SELECT """

_OF_ENTRY: Final[LiteralString] = """
            FROM agentmem.messages AS g
            WHERE g.organization_id = $1 AND g.id = entry.id)
"""

MESSAGES_OF_USER: Final = Query("agents.mentions_of_user", Mentions, _LISTED + "g.user_id" + _OF_ENTRY)
MESSAGES_OF_AGENT: Final = Query("agents.mentions_of_agent", Mentions, _LISTED + "g.agent_id" + _OF_ENTRY)

ORGANIZATION_REST: Final = Query("organizations.rest", OrganizationRest, """
SELECT (SELECT count(*) FROM agentmem.organizations    AS m WHERE m.id = $1)              AS organizations,
       (SELECT count(*) FROM agentmem.users            AS m WHERE m.organization_id = $1) AS users,
       (SELECT count(*) FROM agentmem.agents           AS m WHERE m.organization_id = $1) AS agents,
       (SELECT count(*) FROM agentmem.message_counters AS m WHERE m.organization_id = $1) AS message_counters,
       (SELECT count(*) FROM agentmem.messages         AS m WHERE m.organization_id = $1) AS messages,
       (SELECT count(*) FROM agentmem.blocks           AS m WHERE m.organization_id = $1) AS blocks,
       (SELECT count(*) FROM agentmem.blocks_agents    AS m WHERE m.organization_id = $1) AS blocks_agents,
       (SELECT count(*) FROM agentmem.block_values     AS m WHERE m.organization_id = $1) AS block_values,
       (SELECT count(*) FROM agentmem.tools            AS m WHERE m.organization_id = $1) AS tools,
       (SELECT count(*) FROM agentmem.tools_agents     AS m WHERE m.organization_id = $1) AS tools_agents,
       (SELECT count(*) FROM agentmem.memories         AS m WHERE m.organization_id = $1) AS memories,
       (SELECT count(*) FROM agentmem.term_frequencies AS m WHERE m.organization_id = $1) AS term_frequencies
""")
