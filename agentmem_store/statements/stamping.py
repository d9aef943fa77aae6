"""Statements that stamp a row whose removal begins: from then on nothing restores it.

What hangs on it is removed in many transactions, and what is half gone must not come back.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from agentmem_store.query import Query

# For a purge: those whose removal begins now, and those whose removal began before and was not finished.
# $2 the moment by which they were deleted, $3 how many of each.

USERS_DUE: Final = Query("users.due", UUID, """
WITH due AS (
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.is_deleted AND u.purged_at IS NULL AND u.deleted_at <= $2
    ORDER BY u.purged_at, u.deleted_at
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
),
stamped AS (
    UPDATE agentmem.users AS u
    SET purged_at = now()
    WHERE u.organization_id = $1 AND u.id = ANY (ARRAY(SELECT d.id FROM due AS d))
    RETURNING u.id
)
SELECT s.id
FROM stamped AS s
UNION ALL
(
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.is_deleted AND u.purged_at IS NOT NULL
    ORDER BY u.purged_at, u.deleted_at
    LIMIT $3
)
""")

AGENTS_DUE: Final = Query("agents.due", UUID, """
WITH due AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.is_deleted AND a.purged_at IS NULL AND a.deleted_at <= $2
    ORDER BY a.purged_at, a.deleted_at
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
),
stamped AS (
    UPDATE agentmem.agents AS a
    SET purged_at = now()
    WHERE a.organization_id = $1 AND a.id = ANY (ARRAY(SELECT d.id FROM due AS d))
    RETURNING a.id
)
SELECT s.id
FROM stamped AS s
UNION ALL
(
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.is_deleted AND a.purged_at IS NOT NULL
    ORDER BY a.purged_at, a.deleted_at
    LIMIT $3
)
""")

BLOCKS_DUE: Final = Query("blocks.due", UUID, """
WITH due AS (
    SELECT b.id
    FROM agentmem.blocks AS b
    WHERE b.organization_id = $1 AND b.is_deleted AND b.purged_at IS NULL AND b.deleted_at <= $2
    ORDER BY b.purged_at, b.deleted_at
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
),
stamped AS (
    UPDATE agentmem.blocks AS b
    SET purged_at = now()
    WHERE b.organization_id = $1 AND b.id = ANY (ARRAY(SELECT d.id FROM due AS d))
    RETURNING b.id
)
SELECT s.id
FROM stamped AS s
UNION ALL
(
    SELECT b.id
    FROM agentmem.blocks AS b
    WHERE b.organization_id = $1 AND b.is_deleted AND b.purged_at IS NOT NULL
    ORDER BY b.purged_at, b.deleted_at
    LIMIT $3
)
""")

TOOLS_DUE: Final = Query("tools.due", UUID, """
WITH due AS (
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.is_deleted AND t.purged_at IS NULL AND t.deleted_at <= $2
    ORDER BY t.purged_at, t.deleted_at
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
),
stamped AS (
    UPDATE agentmem.tools AS t
    SET purged_at = now()
    WHERE t.organization_id = $1 AND t.id = ANY (ARRAY(SELECT d.id FROM due AS d))
    RETURNING t.id
)
SELECT s.id
FROM stamped AS s
UNION ALL
(
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.is_deleted AND t.purged_at IS NOT NULL
    ORDER BY t.purged_at, t.deleted_at
    LIMIT $3
)
""")

# $1 the moment, $2 how many.
ORGANIZATIONS_DUE: Final = Query("organizations.due", UUID, """
WITH due AS (
    SELECT o.id
    FROM agentmem.organizations AS o
    WHERE o.is_deleted AND o.purged_at IS NULL AND o.deleted_at <= $1
    ORDER BY o.purged_at, o.deleted_at
    LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
),
stamped AS (
    UPDATE agentmem.organizations AS o
    SET purged_at = now()
    WHERE o.id = ANY (ARRAY(SELECT d.id FROM due AS d))
    RETURNING o.id
)
SELECT s.id
FROM stamped AS s
UNION ALL
(
    SELECT o.id
    FROM agentmem.organizations AS o
    WHERE o.is_deleted AND o.purged_at IS NOT NULL
    ORDER BY o.purged_at, o.deleted_at
    LIMIT $2
)
""")

# For an erasure: the row as it is, alive or deleted. $2 its id, $3 the actor; of an organization, $2 the actor.

HIDE_USER: Final = Query("users.hide", UUID, """
UPDATE agentmem.users AS u
SET is_deleted    = true,
    deleted_at    = coalesce(u.deleted_at, now()),
    deleted_by_id = coalesce(u.deleted_by_id, $3),
    version       = u.version + 1,
    purged_at     = now()
WHERE u.organization_id = $1 AND u.id = $2 AND u.purged_at IS NULL
RETURNING u.id
""")

HIDE_AGENT: Final = Query("agents.hide", UUID, """
UPDATE agentmem.agents AS a
SET is_deleted    = true,
    deleted_at    = coalesce(a.deleted_at, now()),
    deleted_by_id = coalesce(a.deleted_by_id, $3),
    version       = a.version + 1,
    purged_at     = now()
WHERE a.organization_id = $1 AND a.id = $2 AND a.purged_at IS NULL
RETURNING a.id
""")

HIDE_ORGANIZATION: Final = Query("organizations.hide", UUID, """
UPDATE agentmem.organizations AS o
SET is_deleted    = true,
    deleted_at    = coalesce(o.deleted_at, now()),
    deleted_by_id = coalesce(o.deleted_by_id, $2),
    version       = o.version + 1,
    purged_at     = now()
WHERE o.id = $1 AND o.purged_at IS NULL
RETURNING o.id
""")
