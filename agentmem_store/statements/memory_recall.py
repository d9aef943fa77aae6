"""Statements that choose memories: lists, counts, the most important, the last accessed, and search."""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.memories import Memory, RankedMemory
from agentmem_store.query import Query
from agentmem_store.statements.memories import COLUMNS, VISIBLE

# $5 … $8, NULL where not asked for. The filter of metadata is one JSON text; `->` and the comparison are jsonb's own,
# so that numbers compare as numbers. What does not depend on the row is a subselect: it is read once, not per row.
_FILTERS: Final[LiteralString] = """
  AND ($5::text IS NULL OR m.memory_type = $5)
  AND ($6::text IS NULL OR m.scope = $6)
  AND ($7::text IS NULL OR m.level = $7)
  AND ($8::text IS NULL OR (
          m.metadata @> (SELECT $8::jsonb -> 'contains')
          AND m.metadata ?& ARRAY(SELECT jsonb_array_elements_text($8::jsonb -> 'exists'))
          AND NOT EXISTS (
              SELECT
              FROM jsonb_each((SELECT $8::jsonb -> 'any_of')) AS f (key, choices)
              WHERE NOT EXISTS (
                        SELECT
                        FROM jsonb_array_elements(f.choices) AS c (choice)
                        WHERE c.choice = m.metadata -> f.key
                    )
          )
          AND NOT EXISTS (
              SELECT
              FROM jsonb_each((SELECT $8::jsonb -> 'ranges')) AS f (key, ends)
              WHERE (
                        jsonb_typeof(m.metadata -> f.key)
                        = jsonb_typeof(coalesce(nullif(f.ends -> 0, 'null'), f.ends -> 1))
                        AND (f.ends -> 0 = 'null' OR m.metadata -> f.key >= f.ends -> 0)
                        AND (f.ends -> 1 = 'null' OR m.metadata -> f.key <= f.ends -> 1)
                    ) IS NOT TRUE
          )
      ))"""

_PAGE: Final[LiteralString] = """
  AND (m.created_at, m.id) < ($3, $4)
ORDER BY m.created_at DESC, m.id DESC
LIMIT $2
"""

# Whose memories is part of the index, so each case is a statement of its own.
LIST: Final = Query("memories.list", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1
  AND """ + VISIBLE + _FILTERS + _PAGE)

LIST_BY_AGENT: Final = Query("memories.list_by_agent", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $9
  AND """ + VISIBLE + _FILTERS + _PAGE)

LIST_BY_USER: Final = Query("memories.list_by_user", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.user_id = $9 AND ($10::uuid IS NULL OR m.agent_id = $10)
  AND """ + VISIBLE + _FILTERS + _PAGE)

COUNT: Final = Query("memories.count", int, """
SELECT count(*)
FROM agentmem.memories AS m
WHERE m.organization_id = $1
  AND """ + VISIBLE)

COUNT_BY_AGENT: Final = Query("memories.count_by_agent", int, """
SELECT count(*)
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $2
  AND """ + VISIBLE)

COUNT_BY_USER: Final = Query("memories.count_by_user", int, """
SELECT count(*)
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.user_id = $2 AND ($3::uuid IS NULL OR m.agent_id = $3)
  AND """ + VISIBLE)

MOST_IMPORTANT: Final = Query("memories.most_important", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $2
  AND """ + VISIBLE + """
ORDER BY m.importance DESC, m.created_at DESC, m.id DESC
LIMIT $3
""")

# Sorts all of the agent's memories: an index on last_accessed would cost every touch its HOT update.
RECENTLY_ACCESSED: Final = Query("memories.recently_accessed", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.last_accessed IS NOT NULL
  AND """ + VISIBLE + """
ORDER BY m.last_accessed DESC, m.id DESC
LIMIT $3
""")

# $2 how many, $3 the agent, $4 the user, $5 … $8 as above, $9 the words.
SEARCH: Final = Query("memories.search", RankedMemory, """
WITH asked AS (
    SELECT agentmem.search_any(o.language, $9) AS terms
    FROM agentmem.organizations AS o
    WHERE o.id = $1 AND o.deleted_at IS NULL
)
SELECT """ + COLUMNS + """,
       ts_rank(m.search, asked.terms)::double precision AS rank
FROM asked
JOIN agentmem.memories AS m ON m.organization_id = $1 AND m.search @@ asked.terms
WHERE ($3::uuid IS NULL OR m.agent_id = $3)
  AND ($4::uuid IS NULL OR m.user_id = $4)
  AND """ + VISIBLE + _FILTERS + """
ORDER BY rank DESC, m.created_at DESC, m.id DESC
LIMIT $2
""")
