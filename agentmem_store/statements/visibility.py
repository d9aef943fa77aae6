"""When a row can be seen: it is not deleted, and neither is what it belongs to.

Nothing is rewritten when a parent is deleted, so every statement that reads asks for its parents too. The tenant's own
row depends on $1 alone: the planner asks once per statement, not once per row.

Where a row is found by its id, "not deleted" is written `deleted_at IS NULL` and not `NOT is_deleted`: the latter fits
the partial indexes of lists, and a plan made while a table was empty took one of them and read the whole tenant
(measured). The two columns say the same, by a CHECK.
"""

from __future__ import annotations

from typing import Final, LiteralString

__all__ = [
    "IN_MANY_LIVING_AGENT",
    "IN_MANY_LIVING_USER",
    "LIVING_AGENT",
    "LIVING_ORGANIZATION",
    "LIVING_USER",
]

LIVING_ORGANIZATION: Final[LiteralString] = """EXISTS (
          SELECT
          FROM agentmem.organizations AS living
          WHERE living.id = $1 AND living.deleted_at IS NULL
      )"""

# For rows `m` (of messages, memories, blocks), whose agent_id or user_id may be NULL. Scalar subqueries: EXISTS beside
# OR becomes a hash of all of the tenant's agents or users, made anew for each page of a list (measured), and for each
# single row where the plan was made while the table was empty.
LIVING_AGENT: Final[LiteralString] = """(m.agent_id IS NULL OR (
          SELECT living.is_deleted
          FROM agentmem.agents AS living
          WHERE living.organization_id = $1 AND living.id = m.agent_id
      ) IS FALSE)"""
LIVING_USER: Final[LiteralString] = """(m.user_id IS NULL OR (
          SELECT living.is_deleted
          FROM agentmem.users AS living
          WHERE living.organization_id = $1 AND living.id = m.user_id
      ) IS FALSE)"""

# The same for statements that look at all of an owner's rows, as counts do: those that are deleted, which are few and
# have an index, are read once into a hash. Two probes for each row were 5 of the 6 buffers that a count read for it.
IN_MANY_LIVING_AGENT: Final[LiteralString] = """(m.agent_id IS NULL OR m.agent_id NOT IN (
          SELECT gone.id
          FROM agentmem.agents AS gone
          WHERE gone.organization_id = $1 AND gone.is_deleted
      ))"""
IN_MANY_LIVING_USER: Final[LiteralString] = """(m.user_id IS NULL OR m.user_id NOT IN (
          SELECT gone.id
          FROM agentmem.users AS gone
          WHERE gone.organization_id = $1 AND gone.is_deleted
      ))"""
