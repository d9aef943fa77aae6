"""Statements that choose memories: lists, counts, the most important, the last accessed, and search."""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.memories import Memory, RankedMemory
from agentmem_store.query import Query
from agentmem_store.statements import search
from agentmem_store.statements.memories import COLUMNS, VISIBLE
from agentmem_store.statements.metadata import has_metadata
from agentmem_store.statements.visibility import (
    IN_MANY_LIVING_AGENT,
    IN_MANY_LIVING_USER,
    LIVING_AGENT,
    LIVING_ORGANIZATION,
    LIVING_USER,
)

# $5 … $8, NULL where not asked for.
FILTERS: Final[LiteralString] = """
  AND ($5::text IS NULL OR m.memory_type = $5)
  AND ($6::text IS NULL OR m.scope = $6)
  AND ($7::text IS NULL OR m.level = $7)
  AND """ + has_metadata("$8")

# What is looked at in the rows of an index's walk, up to a closing `, false)`. The planner knows nothing of these
# filters, and takes each for so narrow (`$5 IS NULL OR …`: one row in a hundred) that it expects a page to be all of
# the rows, and may read and sort them all for each page (measured on tables that had not been analyzed). Of a coalesce
# it expects half of the rows.
_SEEN: Final[LiteralString] = LIVING_ORGANIZATION + """
  AND coalesce(
          (m.expires_at IS NULL OR m.expires_at > now())
  AND """ + LIVING_AGENT + """
  AND """ + LIVING_USER

_PAGE: Final[LiteralString] = """
  AND (m.created_at, m.id) < ($3, $4)
  AND """ + _SEEN + FILTERS + ", false)" + """
ORDER BY m.created_at DESC, m.id DESC
LIMIT $2
"""

# Not deleted, for the indexes that have is_deleted among their columns. A constant would fit the partial indexes too,
# one of which was taken in a plan that was made on an empty table, and then read the whole tenant (measured).
_KEPT: Final[LiteralString] = "m.is_deleted = (SELECT false)"

# Whose memories is part of the index, so each case is a statement of its own.
LIST: Final = Query("memories.list", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND NOT m.is_deleted""" + _PAGE)

LIST_BY_AGENT: Final = Query("memories.list_by_agent", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $9 AND """ + _KEPT + _PAGE)

LIST_BY_USER: Final = Query("memories.list_by_user", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.user_id = $9 AND """ + _KEPT + """
  AND coalesce($10::uuid IS NULL OR m.agent_id = $10, false)""" + _PAGE)

_IN_MANY: Final[LiteralString] = "(m.expires_at IS NULL OR m.expires_at > now()) AND " + LIVING_ORGANIZATION

COUNT: Final = Query("memories.count", int, """
SELECT count(*)
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND NOT m.is_deleted
  AND """ + _IN_MANY + """
  AND """ + IN_MANY_LIVING_AGENT + """
  AND """ + IN_MANY_LIVING_USER)

COUNT_BY_AGENT: Final = Query("memories.count_by_agent", int, """
SELECT count(*)
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND """ + _KEPT + """
  AND """ + _IN_MANY + """
  AND """ + IN_MANY_LIVING_AGENT + """
  AND """ + IN_MANY_LIVING_USER)

COUNT_BY_USER: Final = Query("memories.count_by_user", int, """
SELECT count(*)
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.user_id = $2 AND """ + _KEPT + """
  AND ($3::uuid IS NULL OR m.agent_id = $3)
  AND """ + _IN_MANY + """
  AND """ + IN_MANY_LIVING_AGENT + """
  AND """ + IN_MANY_LIVING_USER)

MOST_IMPORTANT: Final = Query("memories.most_important", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
  AND """ + _SEEN + ", false)" + """
ORDER BY m.importance DESC, m.created_at DESC, m.id DESC
LIMIT $3
""")

# Looks at all of the agent's memories: an index on last_accessed would cost every touch its HOT update.
RECENTLY_ACCESSED: Final = Query("memories.recently_accessed", Memory, """
SELECT """ + COLUMNS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND """ + _KEPT + """ AND m.last_accessed IS NOT NULL
  AND """ + _IN_MANY + """
  AND """ + IN_MANY_LIVING_AGENT + """
  AND """ + IN_MANY_LIVING_USER + """
ORDER BY m.last_accessed DESC, m.id DESC
LIMIT $3
""")


def found(ranked: LiteralString) -> LiteralString:
    """Return the CTE `found`: the best of a CTE with `id` and `score` that are visible.

    A scalar subquery is one probe of the key for each row, in the order of the scores until there are enough, whatever
    the planner knew of the table; a join may read the tenant's rows for each.
    """
    return """
found AS MATERIALIZED (
    SELECT best.id, best.score
    FROM (
        SELECT s.id, s.score
        FROM """ + ranked + """ AS s
        ORDER BY s.score DESC, s.id
        OFFSET 0
    ) AS best
    WHERE (
              SELECT """ + VISIBLE + """
              FROM agentmem.memories AS m
              WHERE m.organization_id = $1 AND m.id = best.id
          )
    LIMIT (SELECT asked.most FROM asked)
)"""


# $2 how many, $3 the agent, $4 the user, $5 … $8 as above; $9 the words, $10 phrases, $11 what is excluded, $12 how
# many candidates where frequencies are known.
WORDS: Final[LiteralString] = """
WITH asked AS MATERIALIZED (
    SELECT o.language,
           ARRAY[
               CASE WHEN $3::uuid IS NULL AND $4::uuid IS NULL THEN agentmem.search_mark($1) END,
               agentmem.search_mark($3),
               agentmem.search_mark($4),
               '@' || left($5, 50),
               '@' || left($6, 50),
               '@' || left($7, 50)
           ]            AS marks,
           $9::text     AS words,
           $10::text[]  AS phrases,
           $11::text[]  AS excluded,
           $12::integer AS enough,
           $2::bigint   AS most
    FROM agentmem.organizations AS o
    WHERE o.id = $1 AND o.deleted_at IS NULL
),""" + search.terms("memories", "($3::uuid IS NULL OR f.agent_id = $3)") + "," + search.candidates(
    "id", "agentmem.memories", "m.content", """NOT m.is_deleted
      AND (
          ($3::uuid IS NULL OR m.agent_id = $3)
          AND ($4::uuid IS NULL OR m.user_id = $4)""" + FILTERS + """
      ) IS TRUE""") + "," + search.scored("id")

SEARCH: Final = Query("memories.search", RankedMemory, WORDS + "," + found("scored") + """
SELECT """ + COLUMNS + """,
       """ + search.of_found("score") + """ AS rank
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT f.id FROM found AS f))
ORDER BY rank DESC, m.id
""")
