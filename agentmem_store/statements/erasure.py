"""Statements that take somebody's id out of the rows that stay.

`table.forget` walks the rows of the organization in the order of the key, since an index on every audit column would
cost each write more than an erasure is worth. $2 is the id, $3 the rows to look at, $4 (and $5, where the key has two
parts) where the walk begins. It changes neither version nor updated_at: what the row says is the same.

Rows are `m` in every statement, so that what is asked of the audit columns is written once.
"""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.retention import Forgotten
from agentmem_store.query import Query
from agentmem_store.statements.proof import AUDIT_COUNTS

_AUDIT: Final[LiteralString] = "m.created_by_id, m.last_updated_by_id, m.deleted_by_id"
_IN_AUDIT: Final[LiteralString] = "$2::uuid IN (m.created_by_id, m.last_updated_by_id, m.deleted_by_id)"

_WITHOUT_AUDIT: Final[LiteralString] = """created_by_id      = nullif(m.created_by_id, $2),
        last_updated_by_id = nullif(m.last_updated_by_id, $2),
        deleted_by_id      = nullif(m.deleted_by_id, $2)"""

FORGET_IN_USERS: Final = Query("users.forget", Forgotten, """
WITH walked AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.users AS m
    WHERE m.organization_id = $1 AND m.id >= $4
    ORDER BY m.id
    LIMIT $3 + 1
),
target AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.users AS m
    WHERE m.organization_id = $1
      AND m.id = ANY (ARRAY(SELECT m.id FROM walked AS m WHERE """ + _IN_AUDIT + """))
    ORDER BY m.id
    FOR NO KEY UPDATE
),
forgotten AS (
    UPDATE agentmem.users AS m
    SET """ + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + AUDIT_COUNTS + """
FROM target AS m
""")

FORGET_IN_AGENTS: Final = Query("agents.forget", Forgotten, """
WITH walked AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.agents AS m
    WHERE m.organization_id = $1 AND m.id >= $4
    ORDER BY m.id
    LIMIT $3 + 1
),
target AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.agents AS m
    WHERE m.organization_id = $1
      AND m.id = ANY (ARRAY(SELECT m.id FROM walked AS m WHERE """ + _IN_AUDIT + """))
    ORDER BY m.id
    FOR NO KEY UPDATE
),
forgotten AS (
    UPDATE agentmem.agents AS m
    SET """ + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + AUDIT_COUNTS + """
FROM target AS m
""")

FORGET_IN_MESSAGES: Final = Query("messages.forget", Forgotten, """
WITH walked AS (
    SELECT m.id, m.sender_id, """ + _AUDIT + """
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.id >= $4
    ORDER BY m.id
    LIMIT $3 + 1
),
target AS (
    SELECT m.id, m.sender_id, """ + _AUDIT + """
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1
      AND m.id = ANY (ARRAY(SELECT m.id FROM walked AS m WHERE """ + _IN_AUDIT + """ OR lower(m.sender_id) = $2::text))
    ORDER BY m.id
    FOR NO KEY UPDATE
),
forgotten AS (
    UPDATE agentmem.messages AS m
    SET sender_id          = CASE WHEN lower(m.sender_id) <> $2::text THEN m.sender_id END,
        """ + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,
       count(*) FILTER (WHERE lower(m.sender_id) = $2::text) AS sender_id,""" + AUDIT_COUNTS + """
FROM target AS m
""")

FORGET_IN_BLOCKS: Final = Query("blocks.forget", Forgotten, """
WITH walked AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.blocks AS m
    WHERE m.organization_id = $1 AND m.id >= $4
    ORDER BY m.id
    LIMIT $3 + 1
),
target AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.blocks AS m
    WHERE m.organization_id = $1
      AND m.id = ANY (ARRAY(SELECT m.id FROM walked AS m WHERE """ + _IN_AUDIT + """))
    ORDER BY m.id
    FOR NO KEY UPDATE
),
forgotten AS (
    UPDATE agentmem.blocks AS m
    SET """ + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + AUDIT_COUNTS + """
FROM target AS m
""")

FORGET_IN_TOOLS: Final = Query("tools.forget", Forgotten, """
WITH walked AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.tools AS m
    WHERE m.organization_id = $1 AND m.id >= $4
    ORDER BY m.id
    LIMIT $3 + 1
),
target AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.tools AS m
    WHERE m.organization_id = $1
      AND m.id = ANY (ARRAY(SELECT m.id FROM walked AS m WHERE """ + _IN_AUDIT + """))
    ORDER BY m.id
    FOR NO KEY UPDATE
),
forgotten AS (
    UPDATE agentmem.tools AS m
    SET """ + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + AUDIT_COUNTS + """
FROM target AS m
""")

FORGET_IN_MEMORIES: Final = Query("memories.forget", Forgotten, """
WITH walked AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.id >= $4
    ORDER BY m.id
    LIMIT $3 + 1
),
target AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1
      AND m.id = ANY (ARRAY(SELECT m.id FROM walked AS m WHERE """ + _IN_AUDIT + """))
    ORDER BY m.id
    FOR NO KEY UPDATE
),
forgotten AS (
    UPDATE agentmem.memories AS m
    SET """ + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + AUDIT_COUNTS + """
FROM target AS m
""")

FORGET_IN_BLOCKS_AGENTS: Final = Query("blocks_agents.forget", Forgotten, """
WITH walked AS (
    SELECT m.agent_id, m.block_id, m.created_by_id
    FROM agentmem.blocks_agents AS m
    WHERE m.organization_id = $1 AND (m.agent_id, m.block_id) >= ($4, $5)
    ORDER BY m.agent_id, m.block_id
    LIMIT $3 + 1
),
next AS (
    SELECT w.agent_id, w.block_id
    FROM walked AS w
    ORDER BY w.agent_id, w.block_id
    OFFSET $3
),
target AS (
    SELECT m.agent_id, m.block_id
    FROM agentmem.blocks_agents AS m
    JOIN walked AS w ON w.agent_id = m.agent_id AND w.block_id = m.block_id
    WHERE m.organization_id = $1
      AND m.agent_id = ANY (ARRAY(SELECT w.agent_id FROM walked AS w WHERE w.created_by_id = $2))
      AND m.created_by_id = $2
    ORDER BY m.agent_id, m.block_id
    FOR NO KEY UPDATE OF m
),
forgotten AS (
    UPDATE agentmem.blocks_agents AS m
    SET created_by_id = NULL
    FROM target AS t
    WHERE m.organization_id = $1
      AND m.agent_id = ANY (ARRAY(SELECT t.agent_id FROM target AS t))
      AND m.agent_id = t.agent_id AND m.block_id = t.block_id
)
SELECT (SELECT n.agent_id FROM next AS n) AS next_id,
       (SELECT n.block_id FROM next AS n) AS next_part,
       (SELECT count(*) FROM target)      AS created_by_id
""")

FORGET_IN_TOOLS_AGENTS: Final = Query("tools_agents.forget", Forgotten, """
WITH walked AS (
    SELECT m.agent_id, m.tool_id, m.created_by_id
    FROM agentmem.tools_agents AS m
    WHERE m.organization_id = $1 AND (m.agent_id, m.tool_id) >= ($4, $5)
    ORDER BY m.agent_id, m.tool_id
    LIMIT $3 + 1
),
next AS (
    SELECT w.agent_id, w.tool_id
    FROM walked AS w
    ORDER BY w.agent_id, w.tool_id
    OFFSET $3
),
target AS (
    SELECT m.agent_id, m.tool_id
    FROM agentmem.tools_agents AS m
    JOIN walked AS w ON w.agent_id = m.agent_id AND w.tool_id = m.tool_id
    WHERE m.organization_id = $1
      AND m.agent_id = ANY (ARRAY(SELECT w.agent_id FROM walked AS w WHERE w.created_by_id = $2))
      AND m.created_by_id = $2
    ORDER BY m.agent_id, m.tool_id
    FOR NO KEY UPDATE OF m
),
forgotten AS (
    UPDATE agentmem.tools_agents AS m
    SET created_by_id = NULL
    FROM target AS t
    WHERE m.organization_id = $1
      AND m.agent_id = ANY (ARRAY(SELECT t.agent_id FROM target AS t))
      AND m.agent_id = t.agent_id AND m.tool_id = t.tool_id
)
SELECT (SELECT n.agent_id FROM next AS n) AS next_id,
       (SELECT n.tool_id FROM next AS n)  AS next_part,
       (SELECT count(*) FROM target)      AS created_by_id
""")

FORGET_IN_BLOCK_VALUES: Final = Query("block_values.forget", Forgotten, """
WITH walked AS (
    SELECT m.block_id, m.version, m.replaced_by_id
    FROM agentmem.block_values AS m
    WHERE m.organization_id = $1 AND (m.block_id, m.version) >= ($4, $5)
    ORDER BY m.block_id, m.version
    LIMIT $3 + 1
),
next AS (
    SELECT w.block_id, w.version
    FROM walked AS w
    ORDER BY w.block_id, w.version
    OFFSET $3
),
target AS (
    SELECT m.block_id, m.version
    FROM agentmem.block_values AS m
    JOIN walked AS w ON w.block_id = m.block_id AND w.version = m.version
    WHERE m.organization_id = $1
      AND m.block_id = ANY (ARRAY(SELECT w.block_id FROM walked AS w WHERE w.replaced_by_id = $2))
      AND m.version  = ANY (ARRAY(SELECT w.version FROM walked AS w WHERE w.replaced_by_id = $2))
      AND m.replaced_by_id = $2
    ORDER BY m.block_id, m.version
    FOR NO KEY UPDATE OF m
),
forgotten AS (
    UPDATE agentmem.block_values AS m
    SET replaced_by_id = NULL
    FROM target AS t
    WHERE m.organization_id = $1
      AND m.block_id = ANY (ARRAY(SELECT t.block_id FROM target AS t))
      AND m.version  = ANY (ARRAY(SELECT t.version FROM target AS t))
      AND m.block_id = t.block_id AND m.version = t.version
)
SELECT (SELECT n.block_id FROM next AS n) AS next_id,
       (SELECT n.version FROM next AS n)  AS next_part,
       (SELECT count(*) FROM target)      AS replaced_by_id
""")

# One row: there is nothing to walk.
FORGET_IN_ORGANIZATION: Final = Query("organizations.forget", Forgotten, """
WITH target AS (
    SELECT m.id, """ + _AUDIT + """
    FROM agentmem.organizations AS m
    WHERE m.id = $1 AND """ + _IN_AUDIT + """
    LIMIT $3
    FOR NO KEY UPDATE
),
forgotten AS (
    UPDATE agentmem.organizations AS m
    SET """ + _WITHOUT_AUDIT + """
    WHERE m.id = $1 AND EXISTS (SELECT FROM target)
)
SELECT NULL::uuid AS next_id,""" + AUDIT_COUNTS + """
FROM target AS m
""")

# The messages of an owner, who still has them, leave the in-context lists. Between the parts stands the column that
# tells the owner; a scalar subquery and no join, so that each entry is one probe of the primary key.
_WALK_LISTS: Final[LiteralString] = """
WITH walked AS (
    SELECT m.id, m.message_ids
    FROM agentmem.agents AS m
    WHERE m.organization_id = $1 AND m.id >= $4
    ORDER BY m.id
    LIMIT $3 + 1
),
target AS (
    SELECT m.id, m.message_ids
    FROM agentmem.agents AS m
    WHERE m.organization_id = $1
      AND m.id = ANY (ARRAY(
              SELECT w.id
              FROM walked AS w
              CROSS JOIN unnest(w.message_ids) AS entry (id)
              WHERE $2 = (SELECT """

_SHORTEN_LISTS: Final[LiteralString] = """
                          FROM agentmem.messages AS g
                          WHERE g.organization_id = $1 AND g.id = entry.id)))
    ORDER BY m.id
    FOR NO KEY UPDATE
),
shortened AS (
    SELECT t.id, t.message_ids,
           ARRAY(SELECT entry.id
                 FROM unnest(t.message_ids) WITH ORDINALITY AS entry (id, place)
                 WHERE $2 IS DISTINCT FROM (SELECT """

_WRITE_LISTS: Final[LiteralString] = """
                                            FROM agentmem.messages AS g
                                            WHERE g.organization_id = $1 AND g.id = entry.id)
                 ORDER BY entry.place) AS rest
    FROM target AS t
),
forgotten AS (
    UPDATE agentmem.agents AS m
    SET message_ids = s.rest,
        version     = m.version + 1,
        updated_at  = now()
    FROM shortened AS s
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t)) AND m.id = s.id
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3)             AS next_id,
       coalesce(sum(cardinality(s.message_ids) - cardinality(s.rest)), 0) AS message_ids
FROM shortened AS s
"""

FORGET_MESSAGES_OF_USER: Final = Query(
    "agents.forget_messages_of_user", Forgotten,
    _WALK_LISTS + "g.user_id" + _SHORTEN_LISTS + "g.user_id" + _WRITE_LISTS,
)
FORGET_MESSAGES_OF_AGENT: Final = Query(
    "agents.forget_messages_of_agent", Forgotten,
    _WALK_LISTS + "g.agent_id" + _SHORTEN_LISTS + "g.agent_id" + _WRITE_LISTS,
)
