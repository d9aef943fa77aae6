"""Search over one agent's messages: a message is scored with its neighbours."""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.messages import RankedMessage
from agentmem_store.query import Query
from agentmem_store.statements import search
from agentmem_store.statements.messages import COLUMNS
from agentmem_store.statements.metadata import has_metadata
from agentmem_store.statements.visibility import LIVING_AGENT, LIVING_ORGANIZATION

__all__ = ["BODY", "ONLY", "SEARCH", "WORDS", "gathered"]

# $2 the agent, $3 the user or NULL, $4 the group or NULL; $5 the words, $6 phrases, $7 what is excluded; $8 how many,
# $9 how many candidates where frequencies are known, $10 how many of the best are scored with their neighbours, NULL
# for all. $11 what a message gives to the one after it, $12 to the one before it, $13 how often more a question gives
# to what follows it. $14 the role, $15 and $16 the time, $17 metadata: they bind what is found, not what stands beside.
_INPUT: Final[LiteralString] = """
WITH asked AS MATERIALIZED (
    SELECT o.language,
           ARRAY[agentmem.search_mark($2), agentmem.search_mark($3), '@' || left($4, 255)] AS marks,
           $5::text    AS words,
           $6::text[]  AS phrases,
           $7::text[]  AS excluded,
           $9::integer AS enough,
           $8::bigint  AS most
    FROM agentmem.organizations AS o
    WHERE o.id = $1 AND o.deleted_at IS NULL
),"""

_THREAD: Final[LiteralString] = """NOT m.is_deleted
      AND (
          m.agent_id = $2
          AND ($3::uuid IS NULL OR m.user_id = $3)
          AND ($4::text IS NULL OR m.group_id = $4)
      ) IS TRUE"""

# As the index has it: see agentmem.messages.search.
BODY: Final[LiteralString] = "concat_ws(' ', m.name, m.text, agentmem.search_parts(m.content))"

_COLUMNS: Final[LiteralString] = "id, seq, user_id, group_id"

# What may be found, of a row `m`.
ONLY: Final[LiteralString] = """($14::text IS NULL OR m.role = $14)
                     AND ($15::timestamptz IS NULL OR m.created_at >= $15)
                     AND ($16::timestamptz IS NULL OR m.created_at < $16)
                     AND """ + has_metadata("$17")


# The answer often stands in the turn after the one that names the subject, above all when that one is a question.
# Scalar subqueries: one probe of a key for each row, whatever the planner knew of the table.
_GATHERED: Final[tuple[LiteralString, LiteralString]] = ("""
best AS MATERIALIZED (
    SELECT s.seq, s.user_id, s.group_id, s.score,
           CASE
               WHEN (
                        SELECT right(rtrim(m.text), 1) IN ('?', U&'\\FF1F', U&'\\061F')
                        FROM agentmem.messages AS m
                        WHERE m.organization_id = $1 AND m.id = s.id
                    )
               THEN $13::double precision
               ELSE 1
           END AS answered
    FROM (
        SELECT s.id, s.seq, s.user_id, s.group_id, s.score
        FROM """, """ AS s
        ORDER BY s.score DESC, s.seq
        LIMIT $10::bigint
    ) AS s
),
gathered AS (
    SELECT b.seq + n.step AS seq, b.user_id, b.group_id,
           coalesce(sum(b.score) FILTER (WHERE n.step = 0), 0)                       AS own,
           sum(b.score * n.weight * CASE WHEN n.step = 1 THEN b.answered ELSE 1 END) AS score
    FROM best AS b
    CROSS JOIN (
        VALUES (0, 1::double precision),
               (1, $11::double precision), (2, $11 / 4), (-1, $12::double precision), (-2, $12 / 4)
    ) AS n (step, weight)
    WHERE n.weight > 0
    GROUP BY b.seq + n.step, b.user_id, b.group_id
),
found AS MATERIALIZED (
    SELECT probed.id, probed.score, probed.own
    FROM (
        SELECT g.score, g.own,
               (
                   SELECT m.id
                   FROM agentmem.messages AS m
                   WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.seq = g.seq
                     AND m.user_id  IS NOT DISTINCT FROM g.user_id
                     AND m.group_id IS NOT DISTINCT FROM g.group_id
                     AND NOT m.is_deleted
                     AND """ + search.demanded(BODY) + """
                     AND """ + ONLY + """
               ) AS id
        FROM (
            SELECT g.seq, g.user_id, g.group_id, g.score, g.own
            FROM gathered AS g
            ORDER BY g.score DESC, g.seq
            OFFSET 0
        ) AS g
        OFFSET 0
    ) AS probed
    WHERE probed.id IS NOT NULL
    LIMIT $8
)""")


def gathered(ranked: LiteralString) -> LiteralString:
    """Return the CTE `found`: the best of a CTE of scored messages, with what those beside them give."""
    first, last = _GATHERED
    return first + ranked + last

WORDS: Final[LiteralString] = (_INPUT
    + search.terms("messages", "f.agent_id = $2") + ","
    + search.candidates(_COLUMNS, "agentmem.messages", BODY, _THREAD) + ","
    + search.scored(_COLUMNS))

SEARCH: Final = Query("messages.search", RankedMessage, WORDS + "," + gathered("scored") + """
SELECT """ + COLUMNS + """,
       """ + search.of_found("score") + """ AS score,
       """ + search.of_found("own") + """ AS own
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT f.id FROM found AS f))
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_AGENT + """
ORDER BY score DESC, m.seq
""")
