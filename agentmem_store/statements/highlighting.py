"""The statement that tells which words of texts a query means."""

from __future__ import annotations

from typing import Final

from agentmem_store.query import Query

__all__ = ["MEANT"]

# $2 words as they stand in texts, $3 the query's words.
MEANT: Final = Query("highlighting.meant", str, """
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
