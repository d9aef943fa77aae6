"""Statements over agentmem.tools_agents: which agent may call which tool. Linking changes neither of the two rows."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from agentmem_store.models.links import Linking
from agentmem_store.models.tools import Tool
from agentmem_store.query import Query
from agentmem_store.statements.tools import COLUMNS
from agentmem_store.statements.visibility import LIVING_ORGANIZATION

# The tools of agent $2, read before their rows: a join may read the tenant's rows for each of them, where it was
# planned on an empty table (measured).
ATTACHED_TOOLS: Final[LiteralString] = """ARRAY(
          SELECT l.tool_id
          FROM agentmem.tools_agents AS l
          WHERE l.organization_id = $1 AND l.agent_id = $2
      )"""

# $2 the agent, $3 the tools, $4 the actor. All of the tools are linked, or none. Their rows are locked, so that none is
# deleted meanwhile.
ATTACH: Final = Query("tools.attach", Linking, """
WITH agent AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
),
visible AS (
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.id = ANY ($3::uuid[]) AND t.deleted_at IS NULL
      AND """ + LIVING_ORGANIZATION + """
    ORDER BY t.id
    FOR SHARE
),
missing AS (
    SELECT min(i.place) AS place
    FROM unnest($3::uuid[]) WITH ORDINALITY AS i (id, place)
    WHERE i.id NOT IN (SELECT v.id FROM visible AS v)
),
fresh AS (
    INSERT INTO agentmem.tools_agents (organization_id, agent_id, tool_id, created_by_id)
    SELECT $1, a.id, v.id, $4::uuid
    FROM visible AS v
    CROSS JOIN agent AS a
    WHERE (SELECT m.place FROM missing AS m) IS NULL
    ORDER BY v.id
    ON CONFLICT (organization_id, agent_id, tool_id) DO NOTHING
    RETURNING tool_id
)
SELECT (SELECT count(*) FROM fresh)       AS linked,
       (SELECT m.place FROM missing AS m) AS missing,
       EXISTS (SELECT FROM agent)         AS agent_found
""")

DETACH: Final = Query("tools.detach", UUID, """
DELETE FROM agentmem.tools_agents AS l
WHERE l.organization_id = $1 AND l.agent_id = $2 AND l.tool_id = $3
  AND """ + LIVING_ORGANIZATION + """
RETURNING l.tool_id
""")

BY_AGENT: Final = Query("tools.by_agent", Tool, """
SELECT """ + COLUMNS + """
FROM agentmem.tools AS t
WHERE t.organization_id = $1 AND t.id = ANY (""" + ATTACHED_TOOLS + """) AND t.deleted_at IS NULL
  AND EXISTS (
          SELECT
          FROM agentmem.agents AS a
          WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
      )
  AND """ + LIVING_ORGANIZATION + """
ORDER BY t.name
""")

AGENTS: Final = Query("tools.agents", UUID, """
SELECT l.agent_id
FROM agentmem.tools_agents AS l
WHERE l.organization_id = $1 AND l.tool_id = $2
  AND NOT (SELECT a.is_deleted FROM agentmem.agents AS a WHERE a.organization_id = $1 AND a.id = l.agent_id)
  AND EXISTS (
          SELECT
          FROM agentmem.tools AS t
          WHERE t.organization_id = $1 AND t.id = $2 AND t.deleted_at IS NULL
      )
  AND """ + LIVING_ORGANIZATION + """
ORDER BY l.agent_id
""")
