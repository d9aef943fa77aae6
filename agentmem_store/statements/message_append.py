"""Statements that append to agentmem.messages, and the counter that gives each message its place."""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.base import Refusal
from agentmem_store.models.messages import Message
from agentmem_store.query import Query
from agentmem_store.statements.messages import COLUMNS
from agentmem_store.statements.visibility import LIVING_ORGANIZATION

__all__ = ["APPEND", "APPEND_MANY", "APPEND_REFUSALS", "STORED"]

# The agent is locked before its counter, as a removal of it does: the foreign key would lock it afterwards, and the two
# would wait for each other.
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
living AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
    FOR KEY SHARE
),
refused AS (
    SELECT i.place, 'organization' AS missing
    FROM input AS i
    WHERE NOT """ + LIVING_ORGANIZATION + """
    UNION ALL
    SELECT i.place, 'agent'
    FROM input AS i
    WHERE NOT EXISTS (SELECT FROM living)
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

# Calls that many callers make at once, on agents of one tenant: $2 … $19 one array per column, $20 which call a message
# is of, $21 who acts, and $22 each agent once. A call of which a parent is not there or an id is stored is left out as
# a whole; APPEND tells its caller why. Agents and then counters are locked in order before any is raised, all of them:
# the count makes that so. Locked while they are raised, in the order of a join, such statements deadlocked (measured:
# 13 times in 6 s, against 0 in 3,267 statements).
APPEND_MANY: Final = Query("messages.append_many", Message, """
WITH input AS (
    SELECT i.place, i.agent_id, i.id, i.role, i.text, i.name, i.user_id, i.group_id, i.model, i.tool_call_id,
           i.step_id, i.otid, i.sender_id, i.created_at, i.token_count, i.call, i.actor_id,
           i.content::jsonb      AS content,
           i.tool_calls::jsonb   AS tool_calls,
           i.tool_returns::jsonb AS tool_returns,
           i.metadata::jsonb     AS metadata
    FROM unnest(
             $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::text[],
             $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
             $18::timestamptz[], $19::integer[], $20::integer[], $21::uuid[]
         ) WITH ORDINALITY AS i (
             agent_id, id, role, text, content, name, user_id, group_id,
             model, tool_calls, tool_call_id, tool_returns, step_id, otid, sender_id, metadata,
             created_at, token_count, call, actor_id, place
         )
),
living AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = ANY ($22::uuid[]) AND a.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY a.id
    FOR KEY SHARE
),
counter AS (
    SELECT c.agent_id
    FROM agentmem.message_counters AS c
    WHERE c.organization_id = $1 AND c.agent_id = ANY (ARRAY(SELECT l.id FROM living AS l))
    ORDER BY c.agent_id
    FOR NO KEY UPDATE
),
left_out AS (
    SELECT i.call
    FROM input AS i
    WHERE i.agent_id NOT IN (SELECT c.agent_id FROM counter AS c)
       OR i.user_id IS NOT NULL
          AND (SELECT u.is_deleted
               FROM agentmem.users AS u
               WHERE u.organization_id = $1 AND u.id = i.user_id) IS DISTINCT FROM false
       OR (SELECT true
           FROM agentmem.messages AS m
           WHERE m.organization_id = $1 AND m.id = i.id)
),
fresh AS (
    SELECT i.agent_id, i.id, i.role, i.text, i.content, i.name, i.user_id, i.group_id, i.model, i.tool_calls,
           i.tool_call_id, i.tool_returns, i.step_id, i.otid, i.sender_id, i.metadata, i.created_at, i.token_count,
           i.actor_id,
           row_number() OVER (PARTITION BY i.agent_id ORDER BY i.place) AS n
    FROM input AS i
    WHERE i.call NOT IN (SELECT l.call FROM left_out AS l)
),
total AS (
    SELECT f.agent_id, count(*) AS messages
    FROM fresh AS f
    GROUP BY f.agent_id
),
raised AS (
    UPDATE agentmem.message_counters AS c
    SET last_seq = c.last_seq + t.messages
    FROM total AS t
    WHERE c.organization_id = $1 AND c.agent_id = ANY ($22::uuid[]) AND c.agent_id = t.agent_id
      AND (SELECT count(*) FROM counter) > 0
    RETURNING c.agent_id, c.last_seq - t.messages AS last_seq_before
)
INSERT INTO agentmem.messages AS m (
    organization_id, id, agent_id, seq, role, text, content, name, user_id, group_id, model,
    tool_calls, tool_call_id, tool_returns, step_id, otid, sender_id, metadata, token_count, created_at,
    language, created_by_id, last_updated_by_id
)
SELECT $1, f.id, f.agent_id, r.last_seq_before + f.n, f.role, f.text, f.content, f.name, f.user_id, f.group_id,
       f.model, f.tool_calls, f.tool_call_id, f.tool_returns, f.step_id, f.otid, f.sender_id, f.metadata, f.token_count,
       coalesce(f.created_at, now()),
       (SELECT o.language FROM agentmem.organizations AS o WHERE o.id = $1), f.actor_id, f.actor_id
FROM fresh AS f
JOIN raised AS r ON r.agent_id = f.agent_id
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
