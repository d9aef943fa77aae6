"""Statements over words: how often they are in an agent's rows."""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.search import Due
from agentmem_store.query import Query
from agentmem_store.statements.visibility import LIVING_ORGANIZATION

__all__ = ["DUE", "LOCK", "REFRESH_MEMORIES", "REFRESH_MESSAGES"]


# Before a refresh of $2, an agent that is visible, else no row. It stays until the transaction ends; and of two
# refreshes the later waits here. The agent's lock comes first, then its words' in their order, as in removals.
LOCK: Final = Query("search_terms.lock", int, """
WITH agent AS MATERIALIZED (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL AND """ + LIVING_ORGANIZATION + """
    FOR KEY SHARE
),
held AS MATERIALIZED (
    SELECT f.lexeme
    FROM agentmem.term_frequencies AS f
    WHERE f.organization_id = $1 AND f.agent_id = (SELECT a.id FROM agent AS a)
    ORDER BY f.source, f.lexeme
    FOR UPDATE
)
SELECT (SELECT count(*) FROM held)
FROM agent
""")

# The $3 visible agents after $2 in the order of ids, and whether each is due: its words were counted $4 ago or earlier,
# or never, and it has $5 rows or more. Of an agent without counts that many index entries are read, at most.
DUE: Final = Query("search_terms.due", Due, """
SELECT a.id,
       coalesce(
           (
               SELECT min(f.refreshed_at) <= now() - $4::interval
               FROM agentmem.term_frequencies AS f
               WHERE f.organization_id = $1 AND f.source IN ('messages', 'memories') AND f.lexeme = ''
                 AND f.agent_id = a.id
           ),
           EXISTS (
               SELECT
               FROM agentmem.messages AS m
               WHERE m.organization_id = $1 AND m.agent_id = a.id AND NOT m.is_deleted
               OFFSET $5 - 1
           ) OR EXISTS (
               SELECT
               FROM agentmem.memories AS m
               WHERE m.organization_id = $1 AND m.agent_id = a.id AND NOT m.is_deleted
               OFFSET $5 - 1
           )) AS is_due
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND a.id > $2 AND a.deleted_at IS NULL AND """ + LIVING_ORGANIZATION + """
ORDER BY a.id
LIMIT $3
""")

# What is counted, scaled from the sample to all rows. A lexeme with @ is a mark, no word.
_COUNTED: Final[LiteralString] = """
counted AS MATERIALIZED (
    SELECT n.lexeme, n.frequency
    FROM (
        SELECT word.lexeme,
               count(*) * total.frequency / (SELECT count(*) FROM sample) AS frequency
        FROM sample
        CROSS JOIN unnest(sample.search) AS word
        CROSS JOIN total
        WHERE word.lexeme NOT LIKE '@%'
        GROUP BY word.lexeme, total.frequency
        UNION ALL
        SELECT '', total.frequency
        FROM total
    ) AS n
    CROSS JOIN total
    WHERE n.frequency >= $4 AND total.frequency >= $5
)"""


def _refresh(source: LiteralString, table: LiteralString, newest: LiteralString) -> LiteralString:
    """Return the statement for $2 the agent, $3 rows to sample, $4 rows from which on a word, $5 an agent counts."""
    rows = """
    FROM """ + table + """ AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted"""
    return """
WITH total AS (
    SELECT count(*) AS frequency""" + rows + """
),
sample AS MATERIALIZED (
    SELECT m.search""" + rows + """
    ORDER BY """ + newest + """
    LIMIT CASE WHEN (SELECT t.frequency FROM total AS t) >= $5 THEN $3 ELSE 0 END
),""" + _COUNTED + """,
removed AS (
    DELETE FROM agentmem.term_frequencies AS f
    WHERE f.organization_id = $1 AND f.agent_id = $2 AND f.source = """ + source + """
      AND f.lexeme NOT IN (SELECT c.lexeme FROM counted AS c)
),
written AS (
    INSERT INTO agentmem.term_frequencies AS f (organization_id, source, lexeme, agent_id, frequency, refreshed_at)
    SELECT $1, """ + source + """, c.lexeme, a.id, c.frequency, now()
    FROM counted AS c
    JOIN agentmem.agents AS a ON a.organization_id = $1 AND a.id = $2
    ORDER BY c.lexeme
    ON CONFLICT (organization_id, source, lexeme, agent_id) DO UPDATE
    SET frequency    = excluded.frequency,
        refreshed_at = excluded.refreshed_at
    RETURNING f.lexeme
)
SELECT count(*)
FROM written
"""


REFRESH_MESSAGES: Final = Query(
    "search_terms.refresh_messages", int, _refresh("'messages'", "agentmem.messages", "m.seq DESC"))

REFRESH_MEMORIES: Final = Query(
    "search_terms.refresh_memories", int, _refresh("'memories'", "agentmem.memories", "m.created_at DESC"))
