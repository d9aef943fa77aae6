"""Statements over agentmem.blocks. Their values are in `block_values`, their links to agents in `block_links`.

Blocks are `m` here: what asks for a living user is written for rows of that name.
"""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.base import Refusal
from agentmem_store.models.blocks import Block
from agentmem_store.query import Query
from agentmem_store.statements.visibility import LIVING_ORGANIZATION, LIVING_USER

COLUMNS: Final[LiteralString] = """
       m.id, m.user_id, m.label, m.value, m."limit", m.description, m.is_template, m.template_name, m.metadata,
       m.version, m.created_at, m.updated_at, m.created_by_id, m.last_updated_by_id,
       m.is_deleted, m.deleted_at, m.deleted_by_id"""

# $2 … $10: one array per column, in the order of the items.
_INPUT: Final[LiteralString] = """
WITH input AS (
    SELECT i.place, i.id, i.user_id, i.label, i.value, i."limit", i.description, i.is_template, i.template_name,
           i.metadata::jsonb AS metadata
    FROM unnest(
             $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::integer[],
             $7::text[], $8::boolean[], $9::text[], $10::text[]
         ) WITH ORDINALITY AS i (
             id, user_id, label, value, "limit", description, is_template, template_name, metadata, place
         )
)"""

_CREATE: Final[LiteralString] = _INPUT + """
INSERT INTO agentmem.blocks AS m (
    organization_id, id, user_id, label, value, "limit", description, is_template, template_name, metadata,
    created_by_id, last_updated_by_id
)
SELECT $1, m.id, m.user_id, m.label, m.value, m."limit", m.description, m.is_template, m.template_name, m.metadata,
       $11::uuid, $11::uuid
FROM input AS m
WHERE """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_USER

CREATE: Final = Query("blocks.create", Block, _CREATE + """
ON CONFLICT (organization_id, id) DO NOTHING
RETURNING """ + COLUMNS)

# New blocks are stored; those that are stored, visible and of the same user are locked as they stand, all in one order.
# What they then have is what is to be kept before it is replaced, by `block_values.REWRITE` in a second statement.
CREATE_OR_LOCK: Final = Query("blocks.create_or_lock", Block, _CREATE + """
ON CONFLICT (organization_id, id) DO UPDATE
SET version = m.version
WHERE NOT m.is_deleted
  AND m.user_id IS NOT DISTINCT FROM EXCLUDED.user_id
RETURNING """ + COLUMNS)

CREATE_REFUSALS: Final = Query("blocks.create_refusals", Refusal, _INPUT + """
SELECT m.place, 'organization' AS missing
FROM input AS m
WHERE NOT """ + LIVING_ORGANIZATION + """
UNION ALL
SELECT m.place, 'user'
FROM input AS m
WHERE NOT """ + LIVING_USER + """
UNION ALL
SELECT i.place, NULL
FROM input AS i
JOIN agentmem.blocks AS m ON m.organization_id = $1 AND m.id = i.id
WHERE m.version = 1 AND NOT m.is_deleted
  AND (m.user_id, m.label, m.value, m."limit", m.description, m.is_template, m.template_name, m.metadata)
      IS DISTINCT FROM
      (i.user_id, i.label, i.value, i."limit", i.description, i.is_template, i.template_name, i.metadata)
""")

CREATE_STORED: Final = Query("blocks.create_stored", Block, """
SELECT """ + COLUMNS + """
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
""")

GET: Final = Query("blocks.get", Block, """
SELECT """ + COLUMNS + """
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND m.id = $2 AND m.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_USER)

GET_MANY: Final = Query("blocks.get_many", Block, """
SELECT """ + COLUMNS + """
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[]) AND m.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_USER)

# Each of the lists has an index to walk; what is asked beyond it, is looked at in the rows of that walk.
LIST: Final = Query("blocks.list", Block, """
SELECT """ + COLUMNS + """
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND NOT m.is_deleted
  AND ($5::boolean IS NULL OR m.is_template = $5)
  AND (m.created_at, m.id) < ($3, $4)
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_USER + """
ORDER BY m.created_at DESC, m.id DESC
LIMIT $2
""")

LIST_BY_USER: Final = Query("blocks.list_by_user", Block, """
SELECT """ + COLUMNS + """
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND m.user_id = $5 AND NOT m.is_deleted
  AND ($6::text IS NULL OR m.label = $6)
  AND ($7::boolean IS NULL OR m.is_template = $7)
  AND (m.created_at, m.id) < ($3, $4)
  AND EXISTS (
          SELECT
          FROM agentmem.users AS u
          WHERE u.organization_id = $1 AND u.id = $5 AND NOT u.is_deleted
      )
  AND """ + LIVING_ORGANIZATION + """
ORDER BY m.created_at DESC, m.id DESC
LIMIT $2
""")

LIST_BY_LABEL: Final = Query("blocks.list_by_label", Block, """
SELECT """ + COLUMNS + """
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND m.label = $5 AND NOT m.is_deleted
  AND ($6::boolean IS NULL OR m.is_template = $6)
  AND (m.created_at, m.id) < ($3, $4)
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_USER + """
ORDER BY m.created_at DESC, m.id DESC
LIMIT $2
""")

# Templates are few among the blocks, so they are found first and sorted then: there is an index of all of them.
LIST_TEMPLATES: Final = Query("blocks.list_templates", Block, """
WITH template AS MATERIALIZED (
    SELECT """ + COLUMNS + """
    FROM agentmem.blocks AS m
    WHERE m.organization_id = $1 AND m.is_template AND NOT m.is_deleted
      AND """ + LIVING_ORGANIZATION + """
      AND """ + LIVING_USER + """
)
SELECT """ + COLUMNS + """
FROM template AS m
WHERE (m.created_at, m.id) < ($3, $4)
ORDER BY m.created_at DESC, m.id DESC
LIMIT $2
""")

LIST_BY_TEMPLATE: Final = Query("blocks.list_by_template", Block, """
SELECT """ + COLUMNS + """
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND m.template_name = $5 AND m.is_template AND NOT m.is_deleted
  AND ($6::uuid IS NULL OR m.user_id = $6)
  AND ($7::text IS NULL OR m.label = $7)
  AND ($8::boolean IS NULL OR m.is_template = $8)
  AND (m.created_at, m.id) < ($3, $4)
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_USER + """
ORDER BY m.created_at DESC, m.id DESC
LIMIT $2
""")

COUNT: Final = Query("blocks.count", int, """
SELECT count(*)
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND NOT m.is_deleted
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_USER)

DELETE: Final = Query("blocks.delete", Block, """
WITH target AS (
    SELECT m.id
    FROM agentmem.blocks AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
      AND """ + LIVING_USER + """
    ORDER BY m.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.blocks AS m
SET is_deleted    = true,
    deleted_at    = now(),
    deleted_by_id = $2,
    version       = m.version + 1
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

RESTORE: Final = Query("blocks.restore", Block, """
WITH target AS (
    SELECT m.id
    FROM agentmem.blocks AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NOT NULL AND m.purged_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
      AND """ + LIVING_USER + """
    ORDER BY m.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.blocks AS m
SET is_deleted         = false,
    deleted_at         = NULL,
    deleted_by_id      = NULL,
    version            = m.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

HARD_DELETE: Final = Query("blocks.hard_delete", UUID, """
WITH target AS (
    SELECT m.id
    FROM agentmem.blocks AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
    ORDER BY m.id
    FOR UPDATE
)
DELETE FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING m.id
""")
