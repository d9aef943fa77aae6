"""Statements over agentmem.memories, one row or a batch at a time. Lists and searches are in `memory_recall`."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.base import Refusal
from agentmem_store.models.memories import CopyDefaults, DedupedMemory, Memory
from agentmem_store.query import Query
from agentmem_store.statements.visibility import (
    IN_MANY_LIVING_AGENT,
    IN_MANY_LIVING_USER,
    LIVING_AGENT,
    LIVING_ORGANIZATION,
    LIVING_USER,
)

COLUMNS: Final[LiteralString] = """
       m.id, m.agent_id, m.user_id, m.content, m.hash, m.memory_type, m.scope, m.level, m.importance, m.score,
       m.access_count, m.last_accessed, m.expires_at, m.language, m.metadata,
       m.version, m.created_at, m.updated_at, m.created_by_id, m.last_updated_by_id,
       m.is_deleted, m.deleted_at, m.deleted_by_id"""

# Who a memory belongs to is there, and it has not expired; what is left to ask is whether it is deleted.
CURRENT: Final[LiteralString] = """(m.expires_at IS NULL OR m.expires_at > now())
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_AGENT + """
  AND """ + LIVING_USER
VISIBLE: Final[LiteralString] = "NOT m.is_deleted AND " + CURRENT
# The same of rows named by their ids. A CHECK ties deleted_at to is_deleted; by it, no partial index can be chosen: a
# plan made while the table is empty would prefer one to the primary key, and then read all of the tenant's rows.
_THERE: Final[LiteralString] = "m.deleted_at IS NULL AND " + CURRENT

# The agents ($3) and users ($4) of a batch, each locked once and in order, before any row that hangs on them: two
# batches, or a batch and a hard delete of its parents, cannot wait for each other in a circle.
_PARENTS: Final[LiteralString] = """
living_agents AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = ANY ($3::uuid[]) AND NOT a.is_deleted
    ORDER BY a.id
    FOR KEY SHARE
),
living_users AS (
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.id = ANY ($4::uuid[]) AND NOT u.is_deleted
    ORDER BY u.id
    FOR KEY SHARE
)"""

# $2 … $14: one array per column, in the order of the items.
_INPUT: Final[LiteralString] = """
WITH input AS (
    SELECT i.place, i.id, i.agent_id, i.user_id, i.content, i.hash, i.memory_type, i.scope, i.level,
           i.importance, i.score, i.expires_at, i.created_at,
           i.metadata::jsonb AS metadata
    FROM unnest(
             $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
             $10::double precision[], $11::double precision[], $12::timestamptz[], $13::text[], $14::timestamptz[]
         ) WITH ORDINALITY AS i (
             id, agent_id, user_id, content, hash, memory_type, scope, level,
             importance, score, expires_at, metadata, created_at, place
         )
),""" + _PARENTS

_PARENTS_LIVE: Final[LiteralString] = LIVING_ORGANIZATION + """
      AND (i.agent_id IS NULL OR i.agent_id IN (SELECT a.id FROM living_agents AS a))
      AND (i.user_id IS NULL OR i.user_id IN (SELECT u.id FROM living_users AS u))"""

_FRESH: Final[LiteralString] = """
    SELECT $1, i.id, i.agent_id, i.user_id, i.content, i.hash, i.memory_type, i.scope, i.level,
           i.importance, i.score, i.expires_at, i.metadata, coalesce(i.created_at, now()),
           (SELECT o.language FROM agentmem.organizations AS o WHERE o.id = $1), $15::uuid, $15::uuid"""

_CREATE: Final[LiteralString] = _INPUT + """
INSERT INTO agentmem.memories AS m (
    organization_id, id, agent_id, user_id, content, hash, memory_type, scope, level,
    importance, score, expires_at, metadata, created_at, language, created_by_id, last_updated_by_id
)""" + _FRESH + """
    FROM input AS i
    WHERE """ + _PARENTS_LIVE

CREATE: Final = Query("memories.create", Memory, _CREATE + """
ON CONFLICT (organization_id, id) DO NOTHING
RETURNING """ + COLUMNS)

# `same` is NULL for an id that is not stored. One that is, is not asked for its parents: it comes back as it stands. A
# scalar subquery and no join: it is one probe of the primary key for each item, whenever it was planned.
CREATE_REFUSALS: Final = Query("memories.create_refusals", Refusal, _INPUT + """,
checked AS (
    SELECT i.place, i.agent_id, i.user_id,
           (SELECT m.version > 1 OR m.is_deleted
                   OR (m.agent_id, m.user_id, m.content, m.memory_type, m.scope, m.level, m.importance, m.score,
                       m.expires_at, m.metadata, m.created_at)
                      IS NOT DISTINCT FROM
                      (i.agent_id, i.user_id, i.content, i.memory_type, i.scope, i.level, i.importance, i.score,
                       i.expires_at, i.metadata, coalesce(i.created_at, m.created_at))
            FROM agentmem.memories AS m
            WHERE m.organization_id = $1 AND m.id = i.id) AS same
    FROM input AS i
)
SELECT c.place, 'organization' AS missing
FROM checked AS c
WHERE c.same IS NULL AND NOT """ + LIVING_ORGANIZATION + """
UNION ALL
SELECT c.place, 'agent'
FROM checked AS c
WHERE c.same IS NULL AND c.agent_id IS NOT NULL AND c.agent_id NOT IN (SELECT a.id FROM living_agents AS a)
UNION ALL
SELECT c.place, 'user'
FROM checked AS c
WHERE c.same IS NULL AND c.user_id IS NOT NULL AND c.user_id NOT IN (SELECT u.id FROM living_users AS u)
UNION ALL
SELECT c.place, NULL
FROM checked AS c
WHERE NOT c.same
""")

CREATE_STORED: Final = Query("memories.create_stored", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
""")

# A stored row that is visible, and whose it was, takes the new content; one that has it already keeps its version. The
# parents are those of the new row, which were looked at. The time comes with that row: nothing here is evaluated anew.
_DIFFERS: Final[LiteralString] = """
        (m.content, m.memory_type, m.scope, m.level, m.importance, m.score, m.expires_at, m.metadata)
        IS DISTINCT FROM
        (EXCLUDED.content, EXCLUDED.memory_type, EXCLUDED.scope, EXCLUDED.level, EXCLUDED.importance, EXCLUDED.score,
         EXCLUDED.expires_at, EXCLUDED.metadata)"""
UPSERT: Final = Query("memories.upsert", Memory, _CREATE + """
ON CONFLICT (organization_id, id) DO UPDATE
SET content            = EXCLUDED.content,
    hash               = EXCLUDED.hash,
    dedup_hash         = CASE WHEN m.dedup_hash IS NOT NULL THEN EXCLUDED.hash END,
    memory_type        = EXCLUDED.memory_type,
    scope              = EXCLUDED.scope,
    level              = EXCLUDED.level,
    importance         = EXCLUDED.importance,
    score              = EXCLUDED.score,
    expires_at         = EXCLUDED.expires_at,
    metadata           = EXCLUDED.metadata,
    version            = CASE WHEN """ + _DIFFERS + """ THEN m.version + 1 ELSE m.version END,
    updated_at         = CASE WHEN """ + _DIFFERS + """ THEN EXCLUDED.updated_at ELSE m.updated_at END,
    last_updated_by_id = CASE WHEN """ + _DIFFERS + """ THEN EXCLUDED.last_updated_by_id ELSE m.last_updated_by_id END
WHERE NOT m.is_deleted
  AND (m.expires_at IS NULL OR m.expires_at > EXCLUDED.updated_at)
  AND (m.agent_id, m.user_id) IS NOT DISTINCT FROM (EXCLUDED.agent_id, EXCLUDED.user_id)
RETURNING """ + COLUMNS)

# What a COPY must bring along; no row when it would fail, because a parent is missing or an id is stored already. Takes
# $2 the ids, and each agent ($3) and user ($4) once.
COPY_DEFAULTS: Final = Query("memories.copy_defaults", CopyDefaults, """
WITH""" + _PARENTS + """
SELECT o.language, now() AS now
FROM agentmem.organizations AS o
WHERE o.id = $1 AND o.deleted_at IS NULL
  AND (SELECT count(*) FROM living_agents) = cardinality($3::uuid[])
  AND (SELECT count(*) FROM living_users)  = cardinality($4::uuid[])
  AND NOT EXISTS (
          SELECT
          FROM agentmem.memories AS m
          WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
      )
""")

# Text and no Query of the catalogue: COPY is the one statement that cannot be prepared.
COPY: Final[LiteralString] = """
COPY agentmem.memories (
    organization_id, id, agent_id, user_id, content, hash, memory_type, scope, level,
    importance, score, expires_at, metadata, created_at, language, created_by_id, last_updated_by_id
) FROM STDIN (FORMAT binary)
"""

# $2 … $15 as for CREATE, of one item. A row that has expired holds its hash until it is purged: it is deleted here, and
# before the insert looks at the index. No row at all: a parent is missing, the id is stored, or a copy is being stored.
CREATE_OR_GET: Final = Query("memories.create_or_get", DedupedMemory, _INPUT + """,
stored AS (
    SELECT """ + COLUMNS + """
    FROM input AS i
    JOIN agentmem.memories AS m ON m.organization_id = $1 AND m.dedup_hash = i.hash
    WHERE m.dedup_hash = ANY ($6::text[])
      AND (m.agent_id, m.user_id) IS NOT DISTINCT FROM (i.agent_id, i.user_id)
      AND """ + VISIBLE + """
),
expired AS (
    UPDATE agentmem.memories AS m
    SET is_deleted    = true,
        deleted_at    = now(),
        deleted_by_id = $15::uuid,
        version       = m.version + 1
    FROM input AS i
    WHERE m.organization_id = $1 AND m.dedup_hash = i.hash AND m.dedup_hash = ANY ($6::text[])
      AND (m.agent_id, m.user_id) IS NOT DISTINCT FROM (i.agent_id, i.user_id)
      AND NOT m.is_deleted AND m.expires_at <= now()
    RETURNING m.id
),
fresh AS (
    INSERT INTO agentmem.memories AS m (
        organization_id, id, agent_id, user_id, content, hash, memory_type, scope, level,
        importance, score, expires_at, metadata, created_at, language, created_by_id, last_updated_by_id, dedup_hash
    )""" + _FRESH + """, i.hash
    FROM input AS i
    WHERE NOT EXISTS (SELECT FROM stored)
      AND (SELECT count(*) FROM expired) >= 0
      AND """ + _PARENTS_LIVE + """
    ON CONFLICT DO NOTHING
    RETURNING """ + COLUMNS + """
)
SELECT """ + COLUMNS + """, false AS created
FROM stored AS m
UNION ALL
SELECT """ + COLUMNS + """, true
FROM fresh AS m
""")

GET: Final = Query("memories.get", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.id = $2 AND """ + _THERE)

GET_MANY: Final = Query("memories.get_many", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[]) AND """ + _THERE)

# What is asked of each row is looked up by its id in an object, not joined: no plan can make that quadratic.
UPDATE: Final = Query("memories.update", Memory, """
WITH asked AS (
    SELECT jsonb_object_agg(i.id, i.patch::jsonb)      AS patches,
           jsonb_object_agg(i.id, i.expected_version)  AS versions
    FROM unnest($3::uuid[], $4::integer[], $5::text[]) AS i (id, expected_version, patch)
),
target AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND """ + _THERE + """
      AND m.version = coalesce(((SELECT a.versions FROM asked AS a) ->> m.id::text)::integer, m.version)
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
)
UPDATE agentmem.memories AS m
SET (
        content, hash, dedup_hash, memory_type, scope, level, metadata,
        importance, score, expires_at, version, updated_at, last_updated_by_id
    ) = (
        SELECT CASE WHEN t.patch ? 'content'     THEN t.patch ->> 'content'     ELSE m.content     END,
               CASE WHEN t.patch ? 'hash'        THEN t.patch ->> 'hash'        ELSE m.hash        END,
               CASE WHEN t.patch ? 'hash' AND m.dedup_hash IS NOT NULL
                                                 THEN t.patch ->> 'hash'        ELSE m.dedup_hash  END,
               CASE WHEN t.patch ? 'memory_type' THEN t.patch ->> 'memory_type' ELSE m.memory_type END,
               CASE WHEN t.patch ? 'scope'       THEN t.patch ->> 'scope'       ELSE m.scope       END,
               CASE WHEN t.patch ? 'level'       THEN t.patch ->> 'level'       ELSE m.level       END,
               CASE WHEN t.patch ? 'metadata'    THEN t.patch -> 'metadata'     ELSE m.metadata    END,
               CASE WHEN t.patch ? 'importance'
                    THEN (t.patch ->> 'importance')::double precision           ELSE m.importance  END,
               CASE WHEN t.patch ? 'score'
                    THEN (t.patch ->> 'score')::double precision                ELSE m.score       END,
               CASE WHEN t.patch ? 'expires_at'
                    THEN (t.patch ->> 'expires_at')::timestamptz                ELSE m.expires_at  END,
               m.version + 1,
               now(),
               $2::uuid
        FROM (SELECT a.patches -> m.id::text AS patch FROM asked AS a) AS t
    )
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

# $2 the actor, $3 ids.
_DELETE: Final[LiteralString] = """
WITH target AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND """ + _THERE + """
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
)
UPDATE agentmem.memories AS m
SET is_deleted    = true,
    deleted_at    = now(),
    deleted_by_id = $2,
    version       = m.version + 1
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """

_RESTORE: Final[LiteralString] = """
WITH target AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NOT NULL AND """ + CURRENT + """
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
)
UPDATE agentmem.memories AS m
SET is_deleted         = false,
    deleted_at         = NULL,
    deleted_by_id      = NULL,
    version            = m.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """

# Of many, only the ids travel back: they are counted.
DELETE: Final       = Query("memories.delete",       Memory, _DELETE + COLUMNS)
DELETE_MANY: Final  = Query("memories.delete_many",  UUID,   _DELETE + "m.id")
RESTORE: Final      = Query("memories.restore",      Memory, _RESTORE + COLUMNS)
RESTORE_MANY: Final = Query("memories.restore_many", UUID,   _RESTORE + "m.id")

HARD_DELETE: Final = Query("memories.hard_delete", UUID, """
WITH target AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
    ORDER BY m.id
    FOR UPDATE
)
DELETE FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING m.id
""")

# All but the first $3 of the agent's memories, by importance, then newest, then highest id.
TRIM: Final = Query("memories.trim", int, """
WITH surplus AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
      AND (m.expires_at IS NULL OR m.expires_at > now())
      AND """ + LIVING_ORGANIZATION + """
      AND """ + IN_MANY_LIVING_AGENT + """
      AND """ + IN_MANY_LIVING_USER + """
    ORDER BY m.importance DESC, m.created_at DESC, m.id DESC
    OFFSET $3
),
target AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT s.id FROM surplus AS s)) AND m.deleted_at IS NULL
    ORDER BY m.id
    FOR NO KEY UPDATE
),
trimmed AS (
    UPDATE agentmem.memories AS m
    SET is_deleted    = true,
        deleted_at    = now(),
        deleted_by_id = $4,
        version       = m.version + 1
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
    RETURNING m.id
)
SELECT count(*)
FROM trimmed
""")

# No version and no updated_at: to be read is not to be changed. Neither column is in an index, so the update is HOT.
TOUCH: Final = Query("memories.touch", int, """
WITH target AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[]) AND """ + _THERE + """
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
),
touched AS (
    UPDATE agentmem.memories AS m
    SET access_count  = m.access_count + 1,
        last_accessed = greatest(m.last_accessed, now())
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
    RETURNING m.id
)
SELECT count(*)
FROM touched
""")
