"""Statements that give rows their organization's language, by which the server indexes them anew.

They walk the rows in the order of the key, $2 at a time from $3 down: the newest come first, as ids begin with the
time, and no index on the language is needed, which each write would pay for. Neither version nor updated_at changes:
what the row says is the same. The organization is locked against another change of its language until the batch is
stored.
"""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.search import Reindexed
from agentmem_store.query import Query


def _reindex(table: LiteralString) -> LiteralString:
    return """
WITH asked AS MATERIALIZED (
    SELECT o.language
    FROM agentmem.organizations AS o
    WHERE o.id = $1
    FOR SHARE
),
walked AS MATERIALIZED (
    SELECT m.id, m.language
    FROM """ + table + """ AS m
    WHERE m.organization_id = $1 AND m.id <= $3
    ORDER BY m.id DESC
    LIMIT $2
),
target AS MATERIALIZED (
    SELECT m.id
    FROM """ + table + """ AS m
    WHERE m.organization_id = $1
      AND m.id = ANY (ARRAY(SELECT w.id FROM walked AS w WHERE w.language <> (SELECT a.language FROM asked AS a)))
    ORDER BY m.id
    FOR NO KEY UPDATE
),
changed AS (
    UPDATE """ + table + """ AS m
    SET language = (SELECT a.language FROM asked AS a)
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT t.id FROM target AS t))
    RETURNING m.id
)
SELECT (SELECT count(*) FROM walked)  AS walked,
       (SELECT count(*) FROM changed) AS changed,
       (
           SELECT m.id
           FROM """ + table + """ AS m
           WHERE m.organization_id = $1 AND m.id < (SELECT w.id FROM walked AS w ORDER BY w.id LIMIT 1)
           ORDER BY m.id DESC
           LIMIT 1
       ) AS next_id
"""


MESSAGES: Final = Query("messages.reindex", Reindexed, _reindex("agentmem.messages"))
MEMORIES: Final = Query("memories.reindex", Reindexed, _reindex("agentmem.memories"))

# For a progress bar.
COUNT: Final = Query("organizations.count_searchable", int, """
SELECT (SELECT count(*) FROM agentmem.messages AS m WHERE m.organization_id = $1)
     + (SELECT count(*) FROM agentmem.memories AS m WHERE m.organization_id = $1)
""")
