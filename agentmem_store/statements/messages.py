"""Statements over agentmem.messages. Those that append are in `message_append`."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.messages import Message
from agentmem_store.query import Query
from agentmem_store.statements.threads import by_thread
from agentmem_store.statements.visibility import LIVING_AGENT, LIVING_ORGANIZATION

COLUMNS: Final[LiteralString] = """
       m.id, m.agent_id, m.seq, m.user_id, m.group_id, m.role, m.name, m.text, m.content, m.model,
       m.tool_calls, m.tool_call_id, m.tool_returns, m.step_id, m.otid, m.sender_id, m.token_count,
       m.language, m.metadata,
       m.version, m.created_at, m.updated_at, m.created_by_id, m.last_updated_by_id,
       m.is_deleted, m.deleted_at, m.deleted_by_id"""

_LIVING_PARENTS: Final[LiteralString] = LIVING_ORGANIZATION + """
  AND EXISTS (
          SELECT
          FROM agentmem.agents AS a
          WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
      )"""

GET: Final = Query("messages.get", Message, """
SELECT """ + COLUMNS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.id = $2 AND m.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_AGENT)

GET_MANY: Final = Query("messages.get_many", Message, """
SELECT """ + COLUMNS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[]) AND m.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_AGENT)

# Newest first; the function turns them round. $5 the limit.
RECENT: Final = by_thread("messages.recent", Message, """
SELECT """ + COLUMNS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
  AND """, """
  AND """ + _LIVING_PARENTS + """
ORDER BY m.seq DESC
LIMIT $5
""")

# $5 the limit, $6 the seq to go on after.
SINCE: Final = by_thread("messages.since", Message, """
SELECT """ + COLUMNS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.seq > $6 AND NOT m.is_deleted
  AND """, """
  AND """ + _LIVING_PARENTS + """
ORDER BY m.seq
LIMIT $5
""")

# Two index scans out from the message $5: $6 rows before it, $7 after, of the thread; and itself. What stands in
# `(…) IS TRUE` is in no index condition, so that the message is found by its key, whenever that was planned.
AROUND: Final = by_thread("messages.around", Message, """
WITH pivot AS (
    SELECT p.seq
    FROM agentmem.messages AS p
    WHERE p.organization_id = $1 AND p.id = $5 AND (p.agent_id = $2 AND p.deleted_at IS NULL) IS TRUE
),
thread_before AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
      AND m.seq < (SELECT p.seq FROM pivot AS p)
      AND """, """
    ORDER BY m.seq DESC
    LIMIT $6
),
thread_after AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
      AND m.seq > (SELECT p.seq FROM pivot AS p)
      AND """, """
    ORDER BY m.seq
    LIMIT $7
)
SELECT """ + COLUMNS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1
  AND m.id = ANY (
          (SELECT coalesce(array_agg(b.id), '{}') FROM thread_before AS b)
          || $5::uuid
          || (SELECT coalesce(array_agg(f.id), '{}') FROM thread_after AS f)
      )
  AND """ + _LIVING_PARENTS + """
  AND EXISTS (SELECT FROM pivot)
ORDER BY m.seq
""")

# $3 the step, $4 the limit, $5 the seq to go on after.
BY_STEP: Final = Query("messages.by_step", Message, """
SELECT """ + COLUMNS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.step_id = $3 AND m.seq > $5 AND NOT m.is_deleted
  AND """ + _LIVING_PARENTS + """
ORDER BY m.seq
LIMIT $4
""")

COUNT: Final = by_thread("messages.count", int, """
SELECT count(*)
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
  AND """, """
  AND """ + _LIVING_PARENTS)

# $5 how many of the newest to keep, $6 whether system messages are neither counted nor removed, $7 the actor. The
# newest message to go has `keep` newer ones; everything up to it goes. Messages appended meanwhile are newer.
TRIM: Final = by_thread("messages.trim", int, """
WITH boundary AS (
    SELECT m.seq
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
      AND NOT ($6::boolean AND m.role = 'system')
      AND """, """
      AND """ + _LIVING_PARENTS + """
    ORDER BY m.seq DESC
    OFFSET $5
    LIMIT 1
),
surplus AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
      AND m.seq <= (SELECT b.seq FROM boundary AS b)
      AND NOT ($6::boolean AND m.role = 'system')
      AND """, """
),
target AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT s.id FROM surplus AS s)) AND m.deleted_at IS NULL
    ORDER BY m.id
    FOR NO KEY UPDATE
),
trimmed AS (
    UPDATE agentmem.messages AS m
    SET is_deleted    = true,
        deleted_at    = now(),
        deleted_by_id = $7,
        version       = m.version + 1
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
    RETURNING m.id
)
SELECT count(*)
FROM trimmed
""")

UPDATE: Final = Query("messages.update", Message, """
WITH asked AS (
    SELECT jsonb_object_agg(i.id, i.patch::jsonb)     AS patches,
           jsonb_object_agg(i.id, i.expected_version) AS versions
    FROM unnest($3::uuid[], $4::integer[], $5::text[]) AS i (id, expected_version, patch)
),
target AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NULL
      AND m.version = coalesce(((SELECT a.versions FROM asked AS a) ->> m.id::text)::integer, m.version)
      AND """ + LIVING_ORGANIZATION + """
      AND """ + LIVING_AGENT + """
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
)
UPDATE agentmem.messages AS m
SET (
        text, name, model, tool_call_id, step_id, metadata, token_count, content, tool_calls, tool_returns,
        version, updated_at, last_updated_by_id
    ) = (
        SELECT CASE WHEN t.patch ? 'text'         THEN t.patch ->> 'text'         ELSE m.text         END,
               CASE WHEN t.patch ? 'name'         THEN t.patch ->> 'name'         ELSE m.name         END,
               CASE WHEN t.patch ? 'model'        THEN t.patch ->> 'model'        ELSE m.model        END,
               CASE WHEN t.patch ? 'tool_call_id' THEN t.patch ->> 'tool_call_id' ELSE m.tool_call_id END,
               CASE WHEN t.patch ? 'step_id'      THEN t.patch ->> 'step_id'      ELSE m.step_id      END,
               CASE WHEN t.patch ? 'metadata'     THEN t.patch -> 'metadata'      ELSE m.metadata     END,
               CASE WHEN t.patch ? 'token_count'
                    THEN (t.patch ->> 'token_count')::integer      ELSE m.token_count  END,
               CASE WHEN t.patch ? 'content'
                    THEN nullif(t.patch -> 'content', 'null')      ELSE m.content      END,
               CASE WHEN t.patch ? 'tool_calls'
                    THEN nullif(t.patch -> 'tool_calls', 'null')   ELSE m.tool_calls   END,
               CASE WHEN t.patch ? 'tool_returns'
                    THEN nullif(t.patch -> 'tool_returns', 'null') ELSE m.tool_returns END,
               m.version + 1,
               now(),
               $2::uuid
        FROM (SELECT a.patches -> m.id::text AS patch FROM asked AS a) AS t
    )
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

DELETE: Final = Query("messages.delete", Message, """
WITH target AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
      AND """ + LIVING_AGENT + """
    ORDER BY m.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.messages AS m
SET is_deleted    = true,
    deleted_at    = now(),
    deleted_by_id = $2,
    version       = m.version + 1
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

RESTORE: Final = Query("messages.restore", Message, """
WITH target AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NOT NULL
      AND """ + LIVING_ORGANIZATION + """
      AND """ + LIVING_AGENT + """
    ORDER BY m.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.messages AS m
SET is_deleted         = false,
    deleted_at         = NULL,
    deleted_by_id      = NULL,
    version            = m.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

HARD_DELETE: Final = Query("messages.hard_delete", UUID, """
WITH target AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
    ORDER BY m.id
    FOR UPDATE
)
DELETE FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING m.id
""")
