"""Statements over agentmem.users."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.base import Refusal
from agentmem_store.models.users import User
from agentmem_store.query import Query
from agentmem_store.statements.visibility import LIVING_ORGANIZATION

_COLUMNS: Final[LiteralString] = """
       u.id, u.name, u.status, u.timezone, u.metadata,
       u.version, u.created_at, u.updated_at, u.created_by_id, u.last_updated_by_id,
       u.is_deleted, u.deleted_at, u.deleted_by_id"""

# $2 … $6: one array per column, in the order of the items.
_INPUT: Final[LiteralString] = """
WITH input AS (
    SELECT i.place, i.id, i.name, i.status, i.timezone, i.metadata::jsonb AS metadata
    FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
         WITH ORDINALITY AS i (id, name, status, timezone, metadata, place)
)"""

_CREATE: Final[LiteralString] = _INPUT + """
INSERT INTO agentmem.users AS u (
    organization_id, id, name, status, timezone, metadata, created_by_id, last_updated_by_id
)
SELECT $1, i.id, i.name, i.status, i.timezone, i.metadata, $7::uuid, $7::uuid
FROM input AS i
WHERE """ + LIVING_ORGANIZATION

CREATE: Final = Query("users.create", User, _CREATE + """
ON CONFLICT (organization_id, id) DO NOTHING
RETURNING """ + _COLUMNS)

CREATE_REFUSALS: Final = Query("users.create_refusals", Refusal, _INPUT + """
SELECT i.place, 'organization' AS missing
FROM input AS i
WHERE NOT """ + LIVING_ORGANIZATION + """
UNION ALL
SELECT i.place, NULL
FROM input AS i
JOIN agentmem.users AS u ON u.organization_id = $1 AND u.id = i.id
WHERE u.version = 1 AND NOT u.is_deleted
  AND (u.name, u.status, u.timezone, u.metadata) IS DISTINCT FROM (i.name, i.status, i.timezone, i.metadata)
""")

CREATE_STORED: Final = Query("users.create_stored", User, """
SELECT """ + _COLUMNS + """
FROM agentmem.users AS u
WHERE u.organization_id = $1 AND u.id = ANY ($2::uuid[])
""")

# A stored row that is visible takes the new content; one that has it already keeps its version. The time comes with the
# row that was to be inserted: nothing here may be evaluated anew when a row is there.
_DIFFERS: Final[LiteralString] = """
        (u.name, u.status, u.timezone, u.metadata)
        IS DISTINCT FROM
        (EXCLUDED.name, EXCLUDED.status, EXCLUDED.timezone, EXCLUDED.metadata)"""
UPSERT: Final = Query("users.upsert", User, _CREATE + """
ON CONFLICT (organization_id, id) DO UPDATE
SET name               = EXCLUDED.name,
    status             = EXCLUDED.status,
    timezone           = EXCLUDED.timezone,
    metadata           = EXCLUDED.metadata,
    version            = CASE WHEN """ + _DIFFERS + """ THEN u.version + 1 ELSE u.version END,
    updated_at         = CASE WHEN """ + _DIFFERS + """ THEN EXCLUDED.updated_at ELSE u.updated_at END,
    last_updated_by_id = CASE WHEN """ + _DIFFERS + """ THEN EXCLUDED.last_updated_by_id ELSE u.last_updated_by_id END
WHERE NOT u.is_deleted
RETURNING """ + _COLUMNS)

GET: Final = Query("users.get", User, """
SELECT """ + _COLUMNS + """
FROM agentmem.users AS u
WHERE u.organization_id = $1 AND u.id = $2 AND u.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION)

GET_MANY: Final = Query("users.get_many", User, """
SELECT """ + _COLUMNS + """
FROM agentmem.users AS u
WHERE u.organization_id = $1 AND u.id = ANY ($2::uuid[]) AND u.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION)

LIST: Final = Query("users.list", User, """
SELECT """ + _COLUMNS + """
FROM agentmem.users AS u
WHERE u.organization_id = $1 AND NOT u.is_deleted
  AND (u.created_at, u.id) < ($3, $4)
  AND """ + LIVING_ORGANIZATION + """
ORDER BY u.created_at DESC, u.id DESC
LIMIT $2
""")

LIST_BY_STATUS: Final = Query("users.list_by_status", User, """
SELECT """ + _COLUMNS + """
FROM agentmem.users AS u
WHERE u.organization_id = $1 AND u.status = $5 AND NOT u.is_deleted
  AND (u.created_at, u.id) < ($3, $4)
  AND """ + LIVING_ORGANIZATION + """
ORDER BY u.created_at DESC, u.id DESC
LIMIT $2
""")

# Few users share a name, so a status is only looked at in those: it needs no statement of its own here.
LIST_BY_NAME: Final = Query("users.list_by_name", User, """
SELECT """ + _COLUMNS + """
FROM agentmem.users AS u
WHERE u.organization_id = $1 AND u.name = $5 AND NOT u.is_deleted
  AND ($6::text IS NULL OR u.status = $6)
  AND (u.created_at, u.id) < ($3, $4)
  AND """ + LIVING_ORGANIZATION + """
ORDER BY u.created_at DESC, u.id DESC
LIMIT $2
""")

COUNT: Final = Query("users.count", int, """
SELECT count(*)
FROM agentmem.users AS u
WHERE u.organization_id = $1 AND NOT u.is_deleted
  AND """ + LIVING_ORGANIZATION)

COUNT_BY_STATUS: Final = Query("users.count_by_status", int, """
SELECT count(*)
FROM agentmem.users AS u
WHERE u.organization_id = $1 AND u.status = $2 AND NOT u.is_deleted
  AND """ + LIVING_ORGANIZATION)

COUNT_BY_NAME: Final = Query("users.count_by_name", int, """
SELECT count(*)
FROM agentmem.users AS u
WHERE u.organization_id = $1 AND u.name = $2 AND NOT u.is_deleted
  AND ($3::text IS NULL OR u.status = $3)
  AND """ + LIVING_ORGANIZATION)

UPDATE: Final = Query("users.update", User, """
WITH asked AS (
    SELECT jsonb_object_agg(i.id, i.patch::jsonb)     AS patches,
           jsonb_object_agg(i.id, i.expected_version) AS versions
    FROM unnest($3::uuid[], $4::integer[], $5::text[]) AS i (id, expected_version, patch)
),
target AS (
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.id = ANY ($3::uuid[]) AND u.deleted_at IS NULL
      AND u.version = coalesce(((SELECT q.versions FROM asked AS q) ->> u.id::text)::integer, u.version)
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY u.id
    FOR NO KEY UPDATE OF u
)
UPDATE agentmem.users AS u
SET (
        name, status, timezone, metadata, version, updated_at, last_updated_by_id
    ) = (
        SELECT CASE WHEN t.patch ? 'name'     THEN t.patch ->> 'name'     ELSE u.name     END,
               CASE WHEN t.patch ? 'status'   THEN t.patch ->> 'status'   ELSE u.status   END,
               CASE WHEN t.patch ? 'timezone' THEN t.patch ->> 'timezone' ELSE u.timezone END,
               CASE WHEN t.patch ? 'metadata' THEN t.patch -> 'metadata'  ELSE u.metadata END,
               u.version + 1,
               now(),
               $2::uuid
        FROM (SELECT q.patches -> u.id::text AS patch FROM asked AS q) AS t
    )
WHERE u.organization_id = $1 AND u.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + _COLUMNS)

DELETE: Final = Query("users.delete", User, """
WITH target AS (
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.id = ANY ($3::uuid[]) AND u.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY u.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.users AS u
SET is_deleted    = true,
    deleted_at    = now(),
    deleted_by_id = $2,
    version       = u.version + 1
WHERE u.organization_id = $1 AND u.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + _COLUMNS)

RESTORE: Final = Query("users.restore", User, """
WITH target AS (
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.id = ANY ($3::uuid[]) AND u.deleted_at IS NOT NULL AND u.purged_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY u.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.users AS u
SET is_deleted         = false,
    deleted_at         = NULL,
    deleted_by_id      = NULL,
    version            = u.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE u.organization_id = $1 AND u.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + _COLUMNS)

HARD_DELETE: Final = Query("users.hard_delete", UUID, """
WITH target AS (
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.id = ANY ($2::uuid[])
    ORDER BY u.id
    FOR UPDATE
)
DELETE FROM agentmem.users AS u
WHERE u.organization_id = $1 AND u.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING u.id
""")
