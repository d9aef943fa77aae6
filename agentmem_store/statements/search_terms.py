"""Statements over words: how often they are in an agent's rows, and which of some match a query."""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.query import Query

__all__ = ["MATCHING", "REFRESH_MEMORIES", "REFRESH_MESSAGES"]


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
    LIMIT $3
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

# $2 words as they stand in texts, $3 the query's words.
MATCHING: Final = Query("search_terms.matching", str, """
WITH asked AS MATERIALIZED (
    SELECT o.language,
           (
               SELECT string_agg(agentmem.search_term(w.lexeme)::text, ' | ')::tsquery
               FROM unnest(agentmem.search_vector(o.language, $3)) AS w
           ) AS any_word
    FROM agentmem.organizations AS o
    WHERE o.id = $1
)
SELECT word
FROM asked
CROSS JOIN unnest($2::text[]) AS word
WHERE agentmem.search_vector(asked.language, word) @@ asked.any_word
""")
