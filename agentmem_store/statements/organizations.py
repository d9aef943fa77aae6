"""Statements over agentmem.organizations. They belong to no tenant; where one is meant, $1 is its id."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.organizations import Organization
from agentmem_store.query import Query

_COLUMNS: Final[LiteralString] = """
       o.id, o.name, o.language, o.metadata,
       o.version, o.created_at, o.updated_at, o.created_by_id, o.last_updated_by_id,
       o.is_deleted, o.deleted_at, o.deleted_by_id"""

CREATE: Final = Query("organizations.create", Organization, """
INSERT INTO agentmem.organizations AS o (id, name, language, metadata, created_by_id, last_updated_by_id)
VALUES ($1, $2, $3, $4::text::jsonb, $5, $5)
ON CONFLICT (id) DO NOTHING
RETURNING """ + _COLUMNS)

# The stored row, if sending it again is right: same content, or changed since.
CREATE_AGAIN: Final = Query("organizations.create_again", Organization, """
SELECT """ + _COLUMNS + """
FROM agentmem.organizations AS o
WHERE o.id = $1
  AND (o.version > 1 OR o.is_deleted OR (o.name, o.language, o.metadata) IS NOT DISTINCT FROM ($2, $3, $4::text::jsonb))
""")

GET: Final = Query("organizations.get", Organization, """
SELECT """ + _COLUMNS + """
FROM agentmem.organizations AS o
WHERE o.id = $1 AND NOT o.is_deleted
""")

LIST: Final = Query("organizations.list", Organization, """
SELECT """ + _COLUMNS + """
FROM agentmem.organizations AS o
WHERE NOT o.is_deleted AND (o.created_at, o.id) < ($2, $3)
ORDER BY o.created_at DESC, o.id DESC
LIMIT $1
""")

LIST_BY_NAME: Final = Query("organizations.list_by_name", Organization, """
SELECT """ + _COLUMNS + """
FROM agentmem.organizations AS o
WHERE o.name = $4 AND NOT o.is_deleted AND (o.created_at, o.id) < ($2, $3)
ORDER BY o.created_at DESC, o.id DESC
LIMIT $1
""")

OLDEST_BY_NAME: Final = Query("organizations.oldest_by_name", Organization, """
SELECT """ + _COLUMNS + """
FROM agentmem.organizations AS o
WHERE o.name = $1 AND NOT o.is_deleted
ORDER BY o.created_at, o.id
LIMIT 1
""")

COUNT: Final = Query("organizations.count", int, """
SELECT count(*)
FROM agentmem.organizations AS o
WHERE NOT o.is_deleted
""")

UPDATE: Final = Query("organizations.update", Organization, """
UPDATE agentmem.organizations AS o
SET name               = CASE WHEN $4::text::jsonb ? 'name'     THEN $4::text::jsonb ->> 'name'    ELSE o.name     END,
    metadata           = CASE WHEN $4::text::jsonb ? 'metadata' THEN $4::text::jsonb -> 'metadata' ELSE o.metadata END,
    version            = o.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE o.id = $1 AND NOT o.is_deleted AND ($3::integer IS NULL OR o.version = $3)
RETURNING """ + _COLUMNS)

# $2 the language, $3 the actor. It runs in a scope. No row: the organization is not visible.
SET_LANGUAGE: Final = Query("organizations.set_language", UUID, """
WITH changed AS (
    UPDATE agentmem.organizations AS o
    SET language           = $2,
        version            = o.version + 1,
        updated_at         = now(),
        last_updated_by_id = $3
    WHERE o.id = $1 AND NOT o.is_deleted AND o.language <> $2
)
SELECT o.id
FROM agentmem.organizations AS o
WHERE o.id = $1 AND NOT o.is_deleted
""")

DELETE: Final = Query("organizations.delete", Organization, """
UPDATE agentmem.organizations AS o
SET is_deleted    = true,
    deleted_at    = now(),
    deleted_by_id = $2,
    version       = o.version + 1
WHERE o.id = $1 AND NOT o.is_deleted
RETURNING """ + _COLUMNS)

RESTORE: Final = Query("organizations.restore", Organization, """
UPDATE agentmem.organizations AS o
SET is_deleted         = false,
    deleted_at         = NULL,
    deleted_by_id      = NULL,
    version            = o.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE o.id = $1 AND o.is_deleted AND o.purged_at IS NULL
RETURNING """ + _COLUMNS)

HARD_DELETE: Final = Query("organizations.hard_delete", UUID, """
DELETE FROM agentmem.organizations AS o
WHERE o.id = $1
RETURNING o.id
""")
