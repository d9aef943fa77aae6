"""Statements over agentmem.messages, and the counter that gives each message its place."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.base import Refusal
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

# $2 the agent; $3 … $19 one array per column, in the order of the items; $20 whether an id stored
# with other content refuses the batch. `same` is NULL for an id that is not stored,
# false for one that is stored with other content. A scalar subquery and no join: it is one probe of the primary key for
# each item, whatever the planner thought of the table's size when it planned.
_INPUT: Final[LiteralString] = """
WITH input AS (
    SELECT i.place, i.id, i.role, i.text, i.name, i.user_id, i.group_id, i.model, i.tool_call_id,
           i.step_id, i.otid, i.sender_id, i.created_at, i.token_count,
           i.content::jsonb      AS content,
           i.tool_calls::jsonb   AS tool_calls,
           i.tool_returns::jsonb AS tool_returns,
           i.metadata::jsonb     AS metadata
    FROM unnest(
             $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::text[], $10::text[],
             $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
             $18::timestamptz[], $19::integer[]
         ) WITH ORDINALITY AS i (
             id, role, text, content, name, user_id, group_id, model,
             tool_calls, tool_call_id, tool_returns, step_id, otid, sender_id, metadata,
             created_at, token_count, place
         )
),
checked AS (
    SELECT i.place, i.id, i.role, i.text, i.name, i.user_id, i.group_id, i.model, i.tool_call_id,
           i.step_id, i.otid, i.sender_id, i.created_at, i.token_count,
           i.content, i.tool_calls, i.tool_returns, i.metadata,
           (SELECT m.version > 1 OR m.is_deleted
                   OR ((m.agent_id, m.role, m.text, m.content, m.name, m.user_id, m.group_id, m.model, m.tool_calls,
                        m.tool_call_id, m.tool_returns, m.step_id, m.otid, m.sender_id, m.metadata, m.token_count)
                       IS NOT DISTINCT FROM
                       ($2, i.role, i.text, i.content, i.name, i.user_id, i.group_id, i.model, i.tool_calls,
                        i.tool_call_id, i.tool_returns, i.step_id, i.otid, i.sender_id, i.metadata, i.token_count)
                       AND (i.created_at IS NULL OR m.created_at = i.created_at))
            FROM agentmem.messages AS m
            WHERE m.organization_id = $1 AND m.id = i.id) AS same
    FROM input AS i
),
refused AS (
    SELECT i.place, 'organization' AS missing
    FROM input AS i
    WHERE NOT """ + LIVING_ORGANIZATION + """
    UNION ALL
    SELECT i.place, 'agent'
    FROM input AS i
    WHERE NOT EXISTS (
              SELECT
              FROM agentmem.agents AS a
              WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
          )
    UNION ALL
    SELECT i.place, 'user'
    FROM input AS i
    WHERE i.user_id IS NOT NULL
      AND (SELECT u.is_deleted
           FROM agentmem.users AS u
           WHERE u.organization_id = $1 AND u.id = i.user_id) IS DISTINCT FROM false
    UNION ALL
    SELECT c.place, NULL
    FROM checked AS c
    WHERE NOT c.same AND $20::boolean
)"""

# The counter's row lock puts appends to one agent in a line, so the order of seq is the order of commits. Stored ids
# are left out before the counter is raised: ON CONFLICT DO NOTHING would burn numbers. All of a batch, or nothing.
APPEND: Final = Query("messages.append", Message, _INPUT + """,
fresh AS (
    SELECT c.id, c.role, c.text, c.content, c.name, c.user_id, c.group_id, c.model, c.tool_calls, c.tool_call_id,
           c.tool_returns, c.step_id, c.otid, c.sender_id, c.metadata, c.created_at, c.token_count,
           row_number() OVER (ORDER BY c.place) AS n,
           count(*) OVER ()                     AS total
    FROM checked AS c
    WHERE c.same IS NULL
      AND NOT EXISTS (SELECT FROM refused)
),
counter AS (
    UPDATE agentmem.message_counters AS c
    SET last_seq = c.last_seq + (SELECT f.total FROM fresh AS f LIMIT 1)
    WHERE c.organization_id = $1 AND c.agent_id = $2
      AND EXISTS (SELECT FROM fresh)
    RETURNING c.last_seq
)
INSERT INTO agentmem.messages AS m (
    organization_id, id, agent_id, seq, role, text, content, name, user_id, group_id, model,
    tool_calls, tool_call_id, tool_returns, step_id, otid, sender_id, metadata, token_count, created_at,
    language, created_by_id, last_updated_by_id
)
SELECT $1, f.id, $2, counter.last_seq - f.total + f.n, f.role, f.text, f.content, f.name, f.user_id, f.group_id,
       f.model, f.tool_calls, f.tool_call_id, f.tool_returns, f.step_id, f.otid, f.sender_id, f.metadata, f.token_count,
       coalesce(f.created_at, now()),
       (SELECT o.language FROM agentmem.organizations AS o WHERE o.id = $1), $21::uuid, $21::uuid
FROM fresh AS f
CROSS JOIN counter
RETURNING """ + COLUMNS)

APPEND_REFUSALS: Final = Query("messages.append_refusals", Refusal, _INPUT + """
SELECT r.place, r.missing
FROM refused AS r
""")

STORED: Final = Query("messages.stored", Message, """
SELECT """ + COLUMNS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
""")

GET: Final = Query("messages.get", Message, """
SELECT """ + COLUMNS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.id = $2 AND m.deleted_at IS NULL
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

# Two index scans out from the message $5: $6 rows before it, $7 after, of the thread; and itself.
AROUND: Final = by_thread("messages.around", Message, """
WITH pivot AS (
    SELECT p.seq
    FROM agentmem.messages AS p
    WHERE p.organization_id = $1 AND p.agent_id = $2 AND p.id = $5 AND p.deleted_at IS NULL
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
target AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
      AND m.seq <= (SELECT b.seq FROM boundary AS b)
      AND NOT ($6::boolean AND m.role = 'system')
      AND """, """
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
