"""Statements that take somebody's id out of the rows that stay, and those that prove that it is gone.

`table.forget` walks the rows of the organization in the order of the key, since an index on every audit column would
cost each write more than an erasure is worth. $2 is the id, $3 the rows to look at, $4 (and $5, where the key has two
parts) where the walk begins. It changes neither version nor updated_at: what the row says is the same.

Rows are `m` in every statement, so that what is asked of the audit columns is written once.
"""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.retention import Forgotten, Mentions, OrganizationRest
from agentmem_store.query import Query

_AUDIT: Final[LiteralString] = "m.created_by_id, m.last_updated_by_id, m.deleted_by_id"
_IN_AUDIT: Final[LiteralString] = "$2::uuid IN (m.created_by_id, m.last_updated_by_id, m.deleted_by_id)"

_WITHOUT_AUDIT: Final[LiteralString] = """
        created_by_id      = nullif(m.created_by_id, $2),
        last_updated_by_id = nullif(m.last_updated_by_id, $2),
        deleted_by_id      = nullif(m.deleted_by_id, $2)"""

_AUDIT_COUNTS: Final[LiteralString] = """
       count(*) FILTER (WHERE m.created_by_id = $2)      AS created_by_id,
       count(*) FILTER (WHERE m.last_updated_by_id = $2) AS last_updated_by_id,
       count(*) FILTER (WHERE m.deleted_by_id = $2)      AS deleted_by_id"""


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
    SET""" + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + _AUDIT_COUNTS + """
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
    SET""" + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + _AUDIT_COUNTS + """
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
    SET
        sender_id          = nullif(lower(m.sender_id), $2::text),""" + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,
       count(*) FILTER (WHERE lower(m.sender_id) = $2::text) AS sender_id,""" + _AUDIT_COUNTS + """
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
    SET""" + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + _AUDIT_COUNTS + """
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
    SET""" + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + _AUDIT_COUNTS + """
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
    SET""" + _WITHOUT_AUDIT + """
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
)
SELECT (SELECT w.id FROM walked AS w ORDER BY w.id OFFSET $3) AS next_id,""" + _AUDIT_COUNTS + """
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
forgotten AS (
    UPDATE agentmem.blocks_agents AS m
    SET created_by_id = NULL
    FROM walked AS w
    WHERE m.organization_id = $1 AND m.agent_id = ANY (ARRAY(SELECT w.agent_id FROM walked AS w WHERE w.created_by_id = $2))
      AND m.agent_id = w.agent_id AND m.block_id = w.block_id
      AND m.created_by_id = $2
    RETURNING m.agent_id
)
SELECT (SELECT n.agent_id FROM next AS n)    AS next_id,
       (SELECT n.block_id FROM next AS n)    AS next_part,
       (SELECT count(*) FROM forgotten) AS created_by_id
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
forgotten AS (
    UPDATE agentmem.tools_agents AS m
    SET created_by_id = NULL
    FROM walked AS w
    WHERE m.organization_id = $1 AND m.agent_id = ANY (ARRAY(SELECT w.agent_id FROM walked AS w WHERE w.created_by_id = $2))
      AND m.agent_id = w.agent_id AND m.tool_id = w.tool_id
      AND m.created_by_id = $2
    RETURNING m.agent_id
)
SELECT (SELECT n.agent_id FROM next AS n)    AS next_id,
       (SELECT n.tool_id FROM next AS n)    AS next_part,
       (SELECT count(*) FROM forgotten) AS created_by_id
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
forgotten AS (
    UPDATE agentmem.block_values AS m
    SET replaced_by_id = NULL
    FROM walked AS w
    WHERE m.organization_id = $1 AND m.block_id = ANY (ARRAY(SELECT w.block_id FROM walked AS w WHERE w.replaced_by_id = $2))
      AND m.block_id = w.block_id AND m.version = w.version
      AND m.replaced_by_id = $2
    RETURNING m.block_id
)
SELECT (SELECT n.block_id FROM next AS n)    AS next_id,
       (SELECT n.version FROM next AS n)    AS next_part,
       (SELECT count(*) FROM forgotten) AS replaced_by_id
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
    SET""" + _WITHOUT_AUDIT + """
    WHERE m.id = $1 AND EXISTS (SELECT FROM target)
)
SELECT NULL::uuid AS next_id,""" + _AUDIT_COUNTS + """
FROM target AS m
""")
