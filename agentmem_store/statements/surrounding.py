"""The turns around messages, of the same user and group."""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.messages import SurroundingTurns
from agentmem_store.query import Query
from agentmem_store.statements.messages import COLUMNS

__all__ = ["SURROUNDING"]


def _nearest(side: LiteralString, order: LiteralString) -> LiteralString:
    """Return the ids of the $3 visible turns nearest to `h` on one side: each kind of thread has an index."""

    def of_thread(condition: LiteralString) -> LiteralString:
        return """ARRAY(
                      SELECT m.id
                      FROM agentmem.messages AS m
                      WHERE m.organization_id = $1 AND m.agent_id = h.agent_id AND NOT m.is_deleted
                        AND m.seq """ + side + """ h.seq
                        AND """ + condition + """
                      ORDER BY m.seq """ + order + """
                      LIMIT $3
                  )"""

    return """CASE
                   WHEN h.group_id IS NOT NULL
                   THEN """ + of_thread("m.group_id = h.group_id AND m.user_id IS NOT DISTINCT FROM h.user_id") + """
                   WHEN h.user_id IS NOT NULL
                   THEN """ + of_thread("m.user_id = h.user_id AND m.group_id IS NULL") + """
                   ELSE """ + of_thread("m.user_id IS NULL AND m.group_id IS NULL") + """
               END"""


def _turns(ids: LiteralString) -> LiteralString:
    return """(
           SELECT coalesce(json_agg(r ORDER BY r.seq), '[]')
           FROM (
               SELECT """ + COLUMNS + """
               FROM agentmem.messages AS m
               WHERE m.organization_id = $1 AND m.id = ANY (near.""" + ids + """)
           ) AS r
       )"""


# $2 messages, $3 how many turns before and after each.
SURROUNDING: Final[Query[SurroundingTurns]] = Query("messages.surrounding", SurroundingTurns, """
SELECT near.id,
       """ + _turns("earlier") + """ AS before,
       """ + _turns("later") + """ AS after
FROM (
    SELECT h.id,
           """ + _nearest("<", "DESC") + """ AS earlier,
           """ + _nearest(">", "ASC") + """ AS later
    FROM agentmem.messages AS h
    WHERE h.organization_id = $1 AND h.id = ANY ($2::uuid[])
    OFFSET 0
) AS near
""")
