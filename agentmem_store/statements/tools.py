"""Statements over agentmem.tools. Their links to agents are in `tool_links`."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.base import Refusal
from agentmem_store.models.tools import Tool
from agentmem_store.query import Query
from agentmem_store.statements.visibility import LIVING_ORGANIZATION

COLUMNS: Final[LiteralString] = """
       t.id, t.name, t.description, t.json_schema, t.source_type, t.source_code, t.tags, t.metadata,
       t.version, t.created_at, t.updated_at, t.created_by_id, t.last_updated_by_id,
       t.is_deleted, t.deleted_at, t.deleted_by_id"""

# $2 … $9: one array per column, in the order of the items.
_INPUT: Final[LiteralString] = """
WITH input AS (
    SELECT i.place, i.id, i.name, i.description, i.source_type, i.source_code,
           i.json_schema::jsonb AS json_schema,
           i.tags::jsonb        AS tags,
           i.metadata::jsonb    AS metadata
    FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
         WITH ORDINALITY AS i (
             id, name, description, json_schema, source_type, source_code, tags, metadata, place
         )
)"""

_INSERT: Final[LiteralString] = """
INSERT INTO agentmem.tools AS t (
    organization_id, id, name, description, json_schema, source_type, source_code, tags, metadata,
    created_by_id, last_updated_by_id
)
SELECT $1, i.id, i.name, i.description, i.json_schema, i.source_type, i.source_code, i.tags, i.metadata,
       $10::uuid, $10::uuid
FROM input AS i
WHERE """ + LIVING_ORGANIZATION

# By name, so that two batches over the same names wait for each other instead of deadlocking; in the collation by which
# Python sorts, where large batches are cut into several statements. Whatever is taken, id or name: with the id alone as
# the arbiter, a copy racing this one could fail on the name.
CREATE: Final = Query("tools.create", Tool, _INPUT + _INSERT + """
ORDER BY i.name COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING """ + COLUMNS)

CREATE_REFUSALS: Final = Query("tools.create_refusals", Refusal, _INPUT + """
SELECT i.place, 'organization' AS missing, NULL AS taken
FROM input AS i
WHERE NOT """ + LIVING_ORGANIZATION + """
UNION ALL
SELECT i.place, NULL, NULL
FROM input AS i
JOIN agentmem.tools AS t ON t.organization_id = $1 AND t.id = i.id
WHERE t.version = 1 AND NOT t.is_deleted
  AND (t.name, t.description, t.json_schema, t.source_type, t.source_code, t.tags, t.metadata)
      IS DISTINCT FROM
      (i.name, i.description, i.json_schema, i.source_type, i.source_code, i.tags, i.metadata)
UNION ALL
SELECT i.place, NULL, 'tools_name_key'
FROM input AS i
JOIN agentmem.tools AS t ON t.organization_id = $1 AND t.name = i.name AND NOT t.is_deleted
WHERE NOT EXISTS (
          SELECT
          FROM agentmem.tools AS stored
          WHERE stored.organization_id = $1 AND stored.id = i.id
      )
""")

CREATE_STORED: Final = Query("tools.create_stored", Tool, """
SELECT """ + COLUMNS + """
FROM agentmem.tools AS t
WHERE t.organization_id = $1 AND t.id = ANY ($2::uuid[])
""")

# Both upserts give new content to tools that are stored, after `CREATE` has inserted what is new. In one statement a
# copy racing it could fail it: ON CONFLICT DO UPDATE has one arbiter, and the copy's row may be met in the other key. A
# row that is locked first cannot be missed either, as one can whose index entry moves while it is looked for. The time
# comes with the row that was to be inserted: nothing here may be evaluated anew when a row is there.
_TARGET: Final[LiteralString] = """,
target AS (
    SELECT t.id, t.name
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND NOT t.is_deleted
      AND """

UPSERT: Final = Query("tools.upsert", Tool, _INPUT + _TARGET + """t.name = ANY ($3::text[])
    ORDER BY t.id
    FOR NO KEY UPDATE
)""" + _INSERT + """
  AND i.name = ANY (ARRAY(SELECT g.name FROM target AS g))
ON CONFLICT (organization_id, name) WHERE NOT is_deleted
DO UPDATE
SET description        = EXCLUDED.description,
    json_schema        = EXCLUDED.json_schema,
    source_type        = EXCLUDED.source_type,
    source_code        = EXCLUDED.source_code,
    tags               = EXCLUDED.tags,
    metadata           = EXCLUDED.metadata,
    version            = t.version + 1,
    updated_at         = EXCLUDED.updated_at,
    last_updated_by_id = EXCLUDED.last_updated_by_id
RETURNING """ + COLUMNS)

# Tools of these ids can be renamed. One that has the new content already keeps its version.
_DIFFERS: Final[LiteralString] = """
        (t.name, t.description, t.json_schema, t.source_type, t.source_code, t.tags, t.metadata)
        IS DISTINCT FROM
        (EXCLUDED.name, EXCLUDED.description, EXCLUDED.json_schema, EXCLUDED.source_type, EXCLUDED.source_code,
         EXCLUDED.tags, EXCLUDED.metadata)"""
UPSERT_BY_ID: Final = Query("tools.upsert_by_id", Tool, _INPUT + _TARGET + """t.id = ANY ($2::uuid[])
    ORDER BY t.id
    FOR NO KEY UPDATE
)""" + _INSERT + """
  AND i.id = ANY (ARRAY(SELECT g.id FROM target AS g))
ON CONFLICT (organization_id, id) DO UPDATE
SET name               = EXCLUDED.name,
    description        = EXCLUDED.description,
    json_schema        = EXCLUDED.json_schema,
    source_type        = EXCLUDED.source_type,
    source_code        = EXCLUDED.source_code,
    tags               = EXCLUDED.tags,
    metadata           = EXCLUDED.metadata,
    version            = CASE WHEN """ + _DIFFERS + """ THEN t.version + 1 ELSE t.version END,
    updated_at         = CASE WHEN """ + _DIFFERS + """ THEN EXCLUDED.updated_at ELSE t.updated_at END,
    last_updated_by_id = CASE WHEN """ + _DIFFERS + """ THEN EXCLUDED.last_updated_by_id ELSE t.last_updated_by_id END
WHERE NOT t.is_deleted
RETURNING """ + COLUMNS)

GET: Final = Query("tools.get", Tool, """
SELECT """ + COLUMNS + """
FROM agentmem.tools AS t
WHERE t.organization_id = $1 AND t.id = $2 AND t.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION)

GET_MANY: Final = Query("tools.get_many", Tool, """
SELECT """ + COLUMNS + """
FROM agentmem.tools AS t
WHERE t.organization_id = $1 AND t.id = ANY ($2::uuid[]) AND t.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION)

GET_BY_NAME: Final = Query("tools.get_by_name", Tool, """
SELECT """ + COLUMNS + """
FROM agentmem.tools AS t
WHERE t.organization_id = $1 AND t.name = $2 AND NOT t.is_deleted
  AND """ + LIVING_ORGANIZATION)

LIST: Final = Query("tools.list", Tool, """
SELECT """ + COLUMNS + """
FROM agentmem.tools AS t
WHERE t.organization_id = $1 AND NOT t.is_deleted
  AND (t.created_at, t.id) < ($3, $4)
  AND """ + LIVING_ORGANIZATION + """
ORDER BY t.created_at DESC, t.id DESC
LIMIT $2
""")

# Found by tag first and sorted then. In one step the planner may walk the tools by age until it has met enough with the
# tag, which for a rare tag is all of them.
BY_ALL_TAGS: Final = Query("tools.by_all_tags", Tool, """
WITH tagged AS MATERIALIZED (
    SELECT """ + COLUMNS + """
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND NOT t.is_deleted
      AND t.tags @> $5::text::jsonb
      AND """ + LIVING_ORGANIZATION + """
)
SELECT """ + COLUMNS + """
FROM tagged AS t
WHERE (t.created_at, t.id) < ($3, $4)
ORDER BY t.created_at DESC, t.id DESC
LIMIT $2
""")

BY_ANY_TAG: Final = Query("tools.by_any_tag", Tool, """
WITH tagged AS MATERIALIZED (
    SELECT """ + COLUMNS + """
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND NOT t.is_deleted
      AND t.tags ?| $5::text[]
      AND """ + LIVING_ORGANIZATION + """
)
SELECT """ + COLUMNS + """
FROM tagged AS t
WHERE (t.created_at, t.id) < ($3, $4)
ORDER BY t.created_at DESC, t.id DESC
LIMIT $2
""")

COUNT: Final = Query("tools.count", int, """
SELECT count(*)
FROM agentmem.tools AS t
WHERE t.organization_id = $1 AND NOT t.is_deleted
  AND """ + LIVING_ORGANIZATION)

UPDATE: Final = Query("tools.update", Tool, """
WITH asked AS (
    SELECT jsonb_object_agg(i.id, i.patch::jsonb)     AS patches,
           jsonb_object_agg(i.id, i.expected_version) AS versions
    FROM unnest($3::uuid[], $4::integer[], $5::text[]) AS i (id, expected_version, patch)
),
target AS (
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.id = ANY ($3::uuid[]) AND t.deleted_at IS NULL
      AND t.version = coalesce(((SELECT q.versions FROM asked AS q) ->> t.id::text)::integer, t.version)
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY t.id
    FOR NO KEY UPDATE OF t
)
UPDATE agentmem.tools AS t
SET (
        name, description, source_type, source_code, tags, metadata, json_schema, version, updated_at,
        last_updated_by_id
    ) = (
        SELECT CASE WHEN g.patch ? 'name'        THEN g.patch ->> 'name'        ELSE t.name        END,
               CASE WHEN g.patch ? 'description' THEN g.patch ->> 'description' ELSE t.description END,
               CASE WHEN g.patch ? 'source_type' THEN g.patch ->> 'source_type' ELSE t.source_type END,
               CASE WHEN g.patch ? 'source_code' THEN g.patch ->> 'source_code' ELSE t.source_code END,
               CASE WHEN g.patch ? 'tags'        THEN g.patch -> 'tags'         ELSE t.tags        END,
               CASE WHEN g.patch ? 'metadata'    THEN g.patch -> 'metadata'     ELSE t.metadata    END,
               CASE WHEN g.patch ? 'json_schema'
                    THEN nullif(g.patch -> 'json_schema', 'null') ELSE t.json_schema END,
               t.version + 1,
               now(),
               $2::uuid
        FROM (SELECT q.patches -> t.id::text AS patch FROM asked AS q) AS g
    )
WHERE t.organization_id = $1 AND t.id = ANY (ARRAY(SELECT g.id FROM target AS g))
RETURNING """ + COLUMNS)

DELETE: Final = Query("tools.delete", Tool, """
WITH target AS (
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.id = ANY ($3::uuid[]) AND t.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY t.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.tools AS t
SET is_deleted    = true,
    deleted_at    = now(),
    deleted_by_id = $2,
    version       = t.version + 1
WHERE t.organization_id = $1 AND t.id = ANY (ARRAY(SELECT g.id FROM target AS g))
RETURNING """ + COLUMNS)

RESTORE: Final = Query("tools.restore", Tool, """
WITH target AS (
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.id = ANY ($3::uuid[]) AND t.deleted_at IS NOT NULL AND t.purged_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY t.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.tools AS t
SET is_deleted         = false,
    deleted_at         = NULL,
    deleted_by_id      = NULL,
    version            = t.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE t.organization_id = $1 AND t.id = ANY (ARRAY(SELECT g.id FROM target AS g))
RETURNING """ + COLUMNS)

HARD_DELETE: Final = Query("tools.hard_delete", UUID, """
WITH target AS (
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.id = ANY ($2::uuid[])
    ORDER BY t.id
    FOR UPDATE
)
DELETE FROM agentmem.tools AS t
WHERE t.organization_id = $1 AND t.id = ANY (ARRAY(SELECT g.id FROM target AS g))
RETURNING t.id
""")
