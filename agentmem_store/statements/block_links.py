"""Statements over agentmem.blocks_agents: which agent shares which block. Linking changes neither of the two rows."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.blocks import Block
from agentmem_store.models.links import Linking
from agentmem_store.query import Query
from agentmem_store.statements.blocks import COLUMNS
from agentmem_store.statements.visibility import LIVING_ORGANIZATION, LIVING_USER

# The blocks of agent $2, read before their rows: a join may read the tenant's rows for each of them, where it was
# planned on an empty table (measured).
ATTACHED_BLOCKS: Final[LiteralString] = """ARRAY(
          SELECT l.block_id
          FROM agentmem.blocks_agents AS l
          WHERE l.organization_id = $1 AND l.agent_id = $2
      )"""

# $2 the agent, $3 the blocks, $4 the actor. All of the blocks are linked, or none. Their rows are locked, so that none
# is deleted meanwhile, or gets another label than the one that is written.
ATTACH: Final = Query("blocks.attach", Linking, """
WITH agent AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
),
visible AS (
    SELECT m.id, m.label
    FROM agentmem.blocks AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
      AND """ + LIVING_USER + """
    ORDER BY m.id
    FOR SHARE
),
missing AS (
    SELECT min(i.place) AS place
    FROM unnest($3::uuid[]) WITH ORDINALITY AS i (id, place)
    WHERE i.id NOT IN (SELECT v.id FROM visible AS v)
),
fresh AS (
    INSERT INTO agentmem.blocks_agents (organization_id, agent_id, block_id, block_label, created_by_id)
    SELECT $1, a.id, v.id, v.label, $4::uuid
    FROM visible AS v
    CROSS JOIN agent AS a
    WHERE (SELECT m.place FROM missing AS m) IS NULL
    ORDER BY v.id
    ON CONFLICT (organization_id, agent_id, block_id) DO NOTHING
    RETURNING block_id
)
SELECT (SELECT count(*) FROM fresh)       AS linked,
       (SELECT m.place FROM missing AS m) AS missing,
       EXISTS (SELECT FROM agent)         AS agent_found
""")

DETACH: Final = Query("blocks.detach", UUID, """
DELETE FROM agentmem.blocks_agents AS l
WHERE l.organization_id = $1 AND l.agent_id = $2 AND l.block_id = $3
  AND """ + LIVING_ORGANIZATION + """
RETURNING l.block_id
""")

BY_AGENT: Final = Query("blocks.by_agent", Block, """
SELECT """ + COLUMNS + """
FROM agentmem.blocks AS m
WHERE m.organization_id = $1 AND m.id = ANY (""" + ATTACHED_BLOCKS + """) AND m.deleted_at IS NULL
  AND EXISTS (
          SELECT
          FROM agentmem.agents AS a
          WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
      )
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_USER + """
ORDER BY m.label, m.id
""")

AGENTS: Final = Query("blocks.agents", UUID, """
SELECT l.agent_id
FROM agentmem.blocks_agents AS l
WHERE l.organization_id = $1 AND l.block_id = $2
  AND NOT (SELECT a.is_deleted FROM agentmem.agents AS a WHERE a.organization_id = $1 AND a.id = l.agent_id)
  AND EXISTS (
          SELECT
          FROM agentmem.blocks AS m
          WHERE m.organization_id = $1 AND m.id = $2 AND m.deleted_at IS NULL
            AND """ + LIVING_USER + """
      )
  AND """ + LIVING_ORGANIZATION + """
ORDER BY l.agent_id
""")
