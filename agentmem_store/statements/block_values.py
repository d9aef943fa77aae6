"""Statements that change the value of a block. Each keeps the value that it replaces, in agentmem.block_values."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.blocks import Block, BlockValue
from agentmem_store.query import Query
from agentmem_store.statements.blocks import COLUMNS
from agentmem_store.statements.visibility import LIVING_ORGANIZATION, LIVING_USER

# $2 the actor; $3 … $5 one array each of ids, expected versions and patches. A row that waited for its lock is read as
# it stands then, so `value` is the one that is about to be replaced.
_PATCH: Final[LiteralString] = "(SELECT a.patches FROM asked AS a) -> m.id::text"
_TARGET: Final[LiteralString] = """
WITH asked AS (
    SELECT jsonb_object_agg(i.id, i.patch::jsonb)     AS patches,
           jsonb_object_agg(i.id, i.expected_version) AS versions
    FROM unnest($3::uuid[], $4::integer[], $5::text[]) AS i (id, expected_version, patch)
),
target AS (
    SELECT m.id, m.version, m.value, """ + _PATCH + """ AS patch
    FROM agentmem.blocks AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NULL
      AND m.version = coalesce(((SELECT a.versions FROM asked AS a) ->> m.id::text)::integer, m.version)
      AND """ + LIVING_ORGANIZATION + """
      AND """ + LIVING_USER + """
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
),"""

# Between the two parts stands how `changed` is made of `target`: id, version, value, next_value and undone_to.
_KEPT: Final[LiteralString] = """
kept AS (
    INSERT INTO agentmem.block_values (organization_id, block_id, version, value, undone_to, replaced_by_id)
    SELECT $1, c.id, c.version, c.value, c.undone_to, $2
    FROM changed AS c
    WHERE c.next_value <> c.value
)"""

_WRITE_VALUE: Final[LiteralString] = """
UPDATE agentmem.blocks AS m
SET value              = (SELECT c.next_value FROM changed AS c WHERE c.id = m.id),
    version            = m.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT c.id FROM changed AS c))
RETURNING """ + COLUMNS

# The label stands on the links too, so that an agent's blocks can be told apart without reading them.
UPDATE: Final = Query("blocks.update", Block, _TARGET + """
changed AS (
    SELECT t.id, t.version, t.value,
           coalesce(t.patch ->> 'value', t.value) AS next_value,
           NULL::integer                          AS undone_to
    FROM target AS t
),""" + _KEPT + """,
relabelled AS (
    UPDATE agentmem.blocks_agents AS l
    SET block_label = t.patch ->> 'label'
    FROM target AS t
    WHERE l.organization_id = $1 AND l.block_id = t.id AND l.block_label <> t.patch ->> 'label'
)
UPDATE agentmem.blocks AS m
SET (
        value, label, description, template_name, metadata, "limit", is_template,
        version, updated_at, last_updated_by_id
    ) = (
        SELECT CASE WHEN t.patch ? 'value'         THEN t.patch ->> 'value'         ELSE m.value         END,
               CASE WHEN t.patch ? 'label'         THEN t.patch ->> 'label'         ELSE m.label         END,
               CASE WHEN t.patch ? 'description'   THEN t.patch ->> 'description'   ELSE m.description   END,
               CASE WHEN t.patch ? 'template_name' THEN t.patch ->> 'template_name' ELSE m.template_name END,
               CASE WHEN t.patch ? 'metadata'      THEN t.patch -> 'metadata'       ELSE m.metadata      END,
               CASE WHEN t.patch ? 'limit'
                    THEN (t.patch ->> 'limit')::integer       ELSE m."limit"     END,
               CASE WHEN t.patch ? 'is_template'
                    THEN (t.patch ->> 'is_template')::boolean ELSE m.is_template END,
               m.version + 1,
               now(),
               $2::uuid
        FROM (SELECT """ + _PATCH + """ AS patch) AS t
    )
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT c.id FROM changed AS c))
RETURNING """ + COLUMNS)

# The second half of an upsert: `blocks.CREATE_OR_LOCK` holds these blocks. $2 the actor, $3 ids, $4 for each all of its
# new content; a block that has it already is not written. The content is looked up by the id in an object, not
# joined: no plan can make that quadratic. By deleted_at, no partial index can be chosen over the key.
_CONTENT: Final[LiteralString] = "(SELECT a.contents FROM asked AS a) -> m.id::text"
REWRITE: Final = Query("blocks.rewrite", Block, """
WITH asked AS (
    SELECT jsonb_object_agg(i.id, i.content::jsonb) AS contents
    FROM unnest($3::uuid[], $4::text[]) AS i (id, content)
),
target AS (
    SELECT m.id, m.version, m.value, """ + _CONTENT + """ AS content
    FROM agentmem.blocks AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NULL
      AND """ + _CONTENT + """ <> jsonb_build_object(
              'label', m.label, 'value', m.value, 'limit', m."limit", 'description', m.description,
              'is_template', m.is_template, 'template_name', m.template_name, 'metadata', m.metadata
          )
),
kept AS (
    INSERT INTO agentmem.block_values (organization_id, block_id, version, value, replaced_by_id)
    SELECT $1, t.id, t.version, t.value, $2
    FROM target AS t
    WHERE t.value <> t.content ->> 'value'
),
relabelled AS (
    UPDATE agentmem.blocks_agents AS l
    SET block_label = t.content ->> 'label'
    FROM target AS t
    WHERE l.organization_id = $1 AND l.block_id = t.id AND l.block_label <> t.content ->> 'label'
)
UPDATE agentmem.blocks AS m
SET (
        label, value, "limit", description, is_template, template_name, metadata,
        version, updated_at, last_updated_by_id
    ) = (
        SELECT t.content ->> 'label',
               t.content ->> 'value',
               (t.content ->> 'limit')::integer,
               t.content ->> 'description',
               (t.content ->> 'is_template')::boolean,
               t.content ->> 'template_name',
               t.content -> 'metadata',
               m.version + 1,
               now(),
               $2::uuid
        FROM (SELECT """ + _CONTENT + """ AS content) AS t
    )
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

APPEND: Final = Query("blocks.append", Block, _TARGET + """
changed AS (
    SELECT t.id, t.version, t.value,
           t.value || CASE WHEN t.value = '' THEN '' ELSE t.patch ->> 'separator' END || (t.patch ->> 'text')
                         AS next_value,
           NULL::integer AS undone_to
    FROM target AS t
),""" + _KEPT + _WRITE_VALUE)

REPLACE: Final = Query("blocks.replace", Block, _TARGET + """
changed AS (
    SELECT t.id, t.version, t.value,
           replace(t.value, t.patch ->> 'old', t.patch ->> 'new') AS next_value,
           NULL::integer                                          AS undone_to
    FROM target AS t
    WHERE strpos(t.value, t.patch ->> 'old') > 0
),""" + _KEPT + _WRITE_VALUE)

# The value to put back is the newest one that was replaced; but after an undo, the newest one from before the value
# which that undo put back.
UNDO: Final = Query("blocks.undo", Block, _TARGET + """
walk AS MATERIALIZED (
    SELECT t.id, t.version, t.value,
           (SELECT max(v.version)
            FROM agentmem.block_values AS v
            WHERE v.organization_id = $1 AND v.block_id = t.id
              AND v.version < coalesce(
                      (SELECT newest.undone_to
                       FROM agentmem.block_values AS newest
                       WHERE newest.organization_id = $1 AND newest.block_id = t.id
                       ORDER BY newest.version DESC
                       LIMIT 1),
                      t.version)) AS undone_to
    FROM target AS t
),
changed AS (
    SELECT w.id, w.version, w.value, w.undone_to,
           (SELECT v.value
            FROM agentmem.block_values AS v
            WHERE v.organization_id = $1 AND v.block_id = w.id AND v.version = w.undone_to) AS next_value
    FROM walk AS w
    WHERE w.undone_to IS NOT NULL
),""" + _KEPT + _WRITE_VALUE)

LOCK: Final = Query("blocks.lock", UUID, """
SELECT m.id
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
ORDER BY m.id
FOR NO KEY UPDATE
""")

# $2 the block, $3 the number of rows, $4 the version to go on before.
HISTORY: Final = Query("blocks.history", BlockValue, """
SELECT v.block_id, v.version, v.value, v.undone_to, v.replaced_at, v.replaced_by_id
FROM agentmem.block_values AS v
WHERE v.organization_id = $1 AND v.block_id = $2 AND v.version < $4
  AND EXISTS (
          SELECT
          FROM agentmem.blocks AS m
          WHERE m.organization_id = $1 AND m.id = $2 AND NOT m.is_deleted
            AND """ + LIVING_USER + """
      )
  AND """ + LIVING_ORGANIZATION + """
ORDER BY v.version DESC
LIMIT $3
""")
