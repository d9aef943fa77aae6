"""The one statement of an import that no repository has."""

from __future__ import annotations

from typing import Final

from agentmem_store.query import Query
from agentmem_store.statements.visibility import LIVING_AGENT, LIVING_ORGANIZATION

# Until the transaction ends nobody else appends to the agent $2: what comes after the returned place is ours.
BEGIN: Final = Query("chatlog.begin", int, """
SELECT m.last_seq
FROM agentmem.message_counters AS m
WHERE m.organization_id = $1 AND m.agent_id = $2
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_AGENT + """
FOR NO KEY UPDATE
""")
