"""Statements over agentmem.agents."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.agents import Agent
from agentmem_store.models.base import Refusal
from agentmem_store.query import Query
from agentmem_store.statements.visibility import LIVING_ORGANIZATION

COLUMNS: Final[LiteralString] = """
       a.id, a.name, a.agent_type, a.description, a.system, a.topic, a.message_ids,
       a.metadata, a.llm_config, a.embedding_config, a.tool_rules, a.mcp_tools,
       a.version, a.created_at, a.updated_at, a.created_by_id, a.last_updated_by_id,
       a.is_deleted, a.deleted_at, a.deleted_by_id"""

# $2 … $13: one array per column, in the order of the items.
_INPUT: Final[LiteralString] = """
WITH input AS (
    SELECT i.place, i.id, i.name, i.agent_type, i.description, i.system, i.topic,
           i.message_ids::uuid[]     AS message_ids,
           i.metadata::jsonb         AS metadata,
           i.llm_config::jsonb       AS llm_config,
           i.embedding_config::jsonb AS embedding_config,
           i.tool_rules::jsonb       AS tool_rules,
           i.mcp_tools::jsonb        AS mcp_tools
    FROM unnest(
             $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
             $9::text[], $10::text[], $11::text[], $12::text[], $13::text[]
         ) WITH ORDINALITY AS i (
             id, name, agent_type, description, system, topic, message_ids,
             metadata, llm_config, embedding_config, tool_rules, mcp_tools, place
         )
)"""

_CREATE: Final[LiteralString] = _INPUT + """,
fresh AS (
    INSERT INTO agentmem.agents AS a (
        organization_id, id, name, agent_type, description, system, topic, message_ids,
        metadata, llm_config, embedding_config, tool_rules, mcp_tools, created_by_id, last_updated_by_id
    )
    SELECT $1, i.id, i.name, i.agent_type, i.description, i.system, i.topic, i.message_ids,
           i.metadata, i.llm_config, i.embedding_config, i.tool_rules, i.mcp_tools, $14::uuid, $14::uuid
    FROM input AS i
    WHERE """ + LIVING_ORGANIZATION

CREATE: Final = Query("agents.create", Agent, _CREATE + """
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING """ + COLUMNS + """
),
counters AS (
    INSERT INTO agentmem.message_counters (organization_id, agent_id)
    SELECT $1, f.id
    FROM fresh AS f
)
SELECT """ + COLUMNS + """
FROM fresh AS a
""")

CREATE_REFUSALS: Final = Query("agents.create_refusals", Refusal, _INPUT + """
SELECT i.place, 'organization' AS missing
FROM input AS i
WHERE NOT """ + LIVING_ORGANIZATION + """
UNION ALL
SELECT i.place, NULL
FROM input AS i
JOIN agentmem.agents AS a ON a.organization_id = $1 AND a.id = i.id
WHERE a.version = 1 AND NOT a.is_deleted
  AND (a.name, a.agent_type, a.description, a.system, a.topic, a.message_ids,
       a.metadata, a.llm_config, a.embedding_config, a.tool_rules, a.mcp_tools)
      IS DISTINCT FROM
      (i.name, i.agent_type, i.description, i.system, i.topic, i.message_ids,
       i.metadata, i.llm_config, i.embedding_config, i.tool_rules, i.mcp_tools)
""")

CREATE_STORED: Final = Query("agents.create_stored", Agent, """
SELECT """ + COLUMNS + """
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND a.id = ANY ($2::uuid[])
""")

# A stored row that is visible takes the new content; one that has it already keeps its version. The time comes with the
# row that was to be inserted: nothing here may be evaluated anew when a row is there.
_DIFFERS: Final[LiteralString] = """
            (a.name, a.agent_type, a.description, a.system, a.topic, a.message_ids,
             a.metadata, a.llm_config, a.embedding_config, a.tool_rules, a.mcp_tools)
            IS DISTINCT FROM
            (EXCLUDED.name, EXCLUDED.agent_type, EXCLUDED.description, EXCLUDED.system, EXCLUDED.topic,
             EXCLUDED.message_ids, EXCLUDED.metadata, EXCLUDED.llm_config, EXCLUDED.embedding_config,
             EXCLUDED.tool_rules, EXCLUDED.mcp_tools)"""

# A counter that is there is not met by its insert, which would wait for whoever appends. The conflict that is left is
# with an agent that was stored while this statement ran.
UPSERT: Final = Query("agents.upsert", Agent, _CREATE + """
    ON CONFLICT (organization_id, id) DO UPDATE
    SET name               = EXCLUDED.name,
        agent_type         = EXCLUDED.agent_type,
        description        = EXCLUDED.description,
        system             = EXCLUDED.system,
        topic              = EXCLUDED.topic,
        message_ids        = EXCLUDED.message_ids,
        metadata           = EXCLUDED.metadata,
        llm_config         = EXCLUDED.llm_config,
        embedding_config   = EXCLUDED.embedding_config,
        tool_rules         = EXCLUDED.tool_rules,
        mcp_tools          = EXCLUDED.mcp_tools,
        version            = CASE WHEN """ + _DIFFERS + """
                                  THEN a.version + 1               ELSE a.version            END,
        updated_at         = CASE WHEN """ + _DIFFERS + """
                                  THEN EXCLUDED.updated_at         ELSE a.updated_at         END,
        last_updated_by_id = CASE WHEN """ + _DIFFERS + """
                                  THEN EXCLUDED.last_updated_by_id ELSE a.last_updated_by_id END
    WHERE NOT a.is_deleted
    RETURNING """ + COLUMNS + """
),
counters AS (
    INSERT INTO agentmem.message_counters (organization_id, agent_id)
    SELECT $1, f.id
    FROM fresh AS f
    WHERE (SELECT c.agent_id
           FROM agentmem.message_counters AS c
           WHERE c.organization_id = $1 AND c.agent_id = f.id) IS NULL
    ON CONFLICT (organization_id, agent_id) DO NOTHING
)
SELECT """ + COLUMNS + """
FROM fresh AS a
""")

GET: Final = Query("agents.get", Agent, """
SELECT """ + COLUMNS + """
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION)

GET_MANY: Final = Query("agents.get_many", Agent, """
SELECT """ + COLUMNS + """
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND a.id = ANY ($2::uuid[]) AND a.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION)

LIST: Final = Query("agents.list", Agent, """
SELECT """ + COLUMNS + """
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND NOT a.is_deleted
  AND (a.created_at, a.id) < ($3, $4)
  AND """ + LIVING_ORGANIZATION + """
ORDER BY a.created_at DESC, a.id DESC
LIMIT $2
""")

LIST_BY_NAME: Final = Query("agents.list_by_name", Agent, """
SELECT """ + COLUMNS + """
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND a.name = $5 AND NOT a.is_deleted
  AND (a.created_at, a.id) < ($3, $4)
  AND """ + LIVING_ORGANIZATION + """
ORDER BY a.created_at DESC, a.id DESC
LIMIT $2
""")

OLDEST_BY_NAME: Final = Query("agents.oldest_by_name", Agent, """
SELECT """ + COLUMNS + """
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND a.name = $2 AND NOT a.is_deleted
  AND """ + LIVING_ORGANIZATION + """
ORDER BY a.created_at, a.id
LIMIT 1
""")

COUNT: Final = Query("agents.count", int, """
SELECT count(*)
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND NOT a.is_deleted
  AND """ + LIVING_ORGANIZATION)

UPDATE: Final = Query("agents.update", Agent, """
WITH asked AS (
    SELECT jsonb_object_agg(i.id, i.patch::jsonb)     AS patches,
           jsonb_object_agg(i.id, i.expected_version) AS versions
    FROM unnest($3::uuid[], $4::integer[], $5::text[]) AS i (id, expected_version, patch)
),
target AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = ANY ($3::uuid[]) AND a.deleted_at IS NULL
      AND a.version = coalesce(((SELECT q.versions FROM asked AS q) ->> a.id::text)::integer, a.version)
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY a.id
    FOR NO KEY UPDATE OF a
)
UPDATE agentmem.agents AS a
SET (
        name, agent_type, description, system, topic, metadata, llm_config, embedding_config, tool_rules,
        mcp_tools, version, updated_at, last_updated_by_id
    ) = (
        SELECT CASE WHEN t.patch ? 'name'        THEN t.patch ->> 'name'        ELSE a.name        END,
               CASE WHEN t.patch ? 'agent_type'  THEN t.patch ->> 'agent_type'  ELSE a.agent_type  END,
               CASE WHEN t.patch ? 'description' THEN t.patch ->> 'description' ELSE a.description END,
               CASE WHEN t.patch ? 'system'      THEN t.patch ->> 'system'      ELSE a.system      END,
               CASE WHEN t.patch ? 'topic'       THEN t.patch ->> 'topic'       ELSE a.topic       END,
               CASE WHEN t.patch ? 'metadata'    THEN t.patch -> 'metadata'     ELSE a.metadata    END,
               CASE WHEN t.patch ? 'llm_config'
                    THEN nullif(t.patch -> 'llm_config', 'null')       ELSE a.llm_config       END,
               CASE WHEN t.patch ? 'embedding_config'
                    THEN nullif(t.patch -> 'embedding_config', 'null') ELSE a.embedding_config END,
               CASE WHEN t.patch ? 'tool_rules'
                    THEN nullif(t.patch -> 'tool_rules', 'null')       ELSE a.tool_rules       END,
               CASE WHEN t.patch ? 'mcp_tools'
                    THEN nullif(t.patch -> 'mcp_tools', 'null')        ELSE a.mcp_tools        END,
               a.version + 1,
               now(),
               $2::uuid
        FROM (SELECT q.patches -> a.id::text AS patch FROM asked AS q) AS t
    )
WHERE a.organization_id = $1 AND a.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

DELETE: Final = Query("agents.delete", Agent, """
WITH target AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = ANY ($3::uuid[]) AND a.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY a.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.agents AS a
SET is_deleted    = true,
    deleted_at    = now(),
    deleted_by_id = $2,
    version       = a.version + 1
WHERE a.organization_id = $1 AND a.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

RESTORE: Final = Query("agents.restore", Agent, """
WITH target AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = ANY ($3::uuid[]) AND a.deleted_at IS NOT NULL AND a.purged_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY a.id
    FOR NO KEY UPDATE
)
UPDATE agentmem.agents AS a
SET is_deleted         = false,
    deleted_at         = NULL,
    deleted_by_id      = NULL,
    version            = a.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE a.organization_id = $1 AND a.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING """ + COLUMNS)

HARD_DELETE: Final = Query("agents.hard_delete", UUID, """
WITH target AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = ANY ($2::uuid[])
    ORDER BY a.id
    FOR UPDATE
)
DELETE FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND a.id = ANY (ARRAY(SELECT t.id FROM target AS t))
RETURNING a.id
""")

# The in-context list: each change is one statement on the row as it is, so writers who come together lose nothing.
# $2 the actor, $3 the agent, $4 the ids or the number to keep.
_IN_CONTEXT: Final[LiteralString] = """,
    version            = a.version + 1,
    updated_at         = now(),
    last_updated_by_id = $2
WHERE a.organization_id = $1 AND a.id = $3 AND a.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION + """
RETURNING """ + COLUMNS

APPEND_MESSAGE_IDS: Final = Query("agents.append_message_ids", Agent, """
UPDATE agentmem.agents AS a
SET message_ids        = a.message_ids || $4::uuid[]""" + _IN_CONTEXT)

SET_MESSAGE_IDS: Final = Query("agents.set_message_ids", Agent, """
UPDATE agentmem.agents AS a
SET message_ids        = $4::uuid[]""" + _IN_CONTEXT)

TRIM_MESSAGE_IDS: Final = Query("agents.trim_message_ids", Agent, """
UPDATE agentmem.agents AS a
SET message_ids        = a.message_ids[greatest(1, cardinality(a.message_ids) - $4::integer + 1):]""" + _IN_CONTEXT)
