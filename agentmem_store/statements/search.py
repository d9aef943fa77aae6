"""The ranking that searches of messages and of memories share, as parts of their statements.

A row's score is the sum, over the words asked for that are in it, of how often the word is there (`ts_rank` of that one
word) times how rare it is (its inverse document frequency). Rows come from an index scan within the owner's rows.

The parts are lists of CTEs. Before them stands `asked`, one row with: language, owners (the ids whose marks a row must
have), words, phrases, excluded, enough (how many candidates to look at where frequencies are known), most (how many
rows the caller wants).
"""

from __future__ import annotations

from typing import Final, LiteralString

__all__ = ["candidates", "scored", "terms"]


# A single character of a script without spaces says half as much as a pair.
_WEIGHT: Final[LiteralString] = """CASE
               WHEN char_length(known.lexeme) = 1 AND ascii(known.lexeme) > 3583 THEN 0.5
               ELSE 1
           END::real"""

# The lexemes of the words, the rarest first, of which 64 count. What has no known frequency counts as rare.
_TERM: Final[tuple[LiteralString, ...]] = ("""
term AS MATERIALIZED (
    SELECT known.place,
           known.lexeme,
           known.frequency,
           agentmem.search_term(known.lexeme) AS query,
           """ + _WEIGHT + """ AS weight,
           sum(known.frequency) OVER (ORDER BY known.place) AS running
    FROM (
        SELECT word.lexeme,
               word.frequency,
               row_number() OVER (ORDER BY word.frequency, char_length(word.lexeme) DESC, word.lexeme) AS place
        FROM (
            SELECT w.lexeme,
                   coalesce((""", """w.lexeme
                   ), 0)::double precision AS frequency
            FROM asked
            CROSS JOIN unnest(agentmem.search_vector(asked.language, asked.words)) AS w
        ) AS word
    ) AS known
    WHERE known.place <= 64
),
total AS MATERIALIZED (
    SELECT coalesce((""", """''
           ), (
               SELECT count(*)
               FROM (
                   SELECT
                   FROM """, """
                   LIMIT 3000
               ) AS counted
           ))::double precision AS frequency
)""")

# `leading` asks for the rarest words, until `enough` rows are in sight, and for the next one where a commoner one
# stands beside it; `further` asks for the rest, and is NULL where nothing is known to be common (an empty query would
# be lost in the and, and every row of the owner found). `demanded` is what every row must fulfil, NULL for nothing.
_WANTED: Final[LiteralString] = """
wanted AS MATERIALIZED (
    SELECT agentmem.search_owned(asked.owners) AS owned,
           nullif(
               concat_ws(' | ', chosen.rarest, chosen.next || ' & (' || chosen.common || ')'), '')::tsquery AS leading,
           nullif(concat_ws(' | ', chosen.next, chosen.common), '')::tsquery                                AS further,
           (
               SELECT string_agg(demand.query, ' & ')::tsquery
               FROM (
                   SELECT '(' || agentmem.search_phrase(asked.language, phrase)::text || ')'
                   FROM unnest(asked.phrases) AS phrase
                   UNION ALL
                   SELECT '!(' || agentmem.search_phrase(asked.language, phrase)::text || ')'
                   FROM unnest(asked.excluded) AS phrase
               ) AS demand (query)
           ) AS demanded
    FROM asked
    CROSS JOIN LATERAL (
        SELECT string_agg(t.query::text, ' | ') FILTER (WHERE t.running <= asked.enough) AS rarest,
               min(t.query::text) FILTER (
                   WHERE t.running > asked.enough AND t.running - t.frequency <= asked.enough) AS next,
               string_agg(t.query::text, ' | ') FILTER (
                   WHERE t.running - t.frequency > asked.enough) AS common
        FROM term AS t
    ) AS chosen
)"""


def terms(source: LiteralString, of_agent: LiteralString) -> LiteralString:
    """Return the CTEs `term`, the words asked for, `total`, the number of rows as far as it is known, and `wanted`.

    Args:
        source: `messages` or `memories`.
        of_agent: a condition that chooses the agent, on `f`, frequencies or rows.
    """
    frequency = """
                       SELECT sum(f.frequency)
                       FROM agentmem.term_frequencies AS f
                       WHERE f.organization_id = $1 AND f.source = '""" + source + """'
                         AND """ + of_agent + """
                         AND f.lexeme = """
    rows = "agentmem." + source + " AS f WHERE f.organization_id = $1 AND NOT f.is_deleted AND " + of_agent
    first, then, otherwise, last = _TERM
    return first + frequency + then + frequency + otherwise + rows + last + "," + _WANTED


def candidates(columns: LiteralString, source: LiteralString, whose: LiteralString) -> LiteralString:
    """Return the CTE `candidate`: the rows to score. Only where `leading` finds fewer than `most` is `further` asked.

    Args:
        columns: what is read of a row beside `search`, first its `id`.
        source: the table, as `m`.
        whose: conditions on `m`. All but one on the column of a partial index stand in `(…) IS TRUE`, which no B-tree
            serves: it would read all rows of the agent.
    """
    led = _fetched("wanted.leading", columns, source, whose)
    further = _fetched("wanted.further", columns, source, whose)
    return """
led AS MATERIALIZED (""" + led + """
),
candidate AS MATERIALIZED (
    SELECT """ + columns + """, search
    FROM led
    UNION ALL (""" + further + """
      AND (SELECT count(*) FROM led) < (SELECT asked.most FROM asked)
      AND (m.search @@ wanted.leading) IS NOT TRUE
    LIMIT (SELECT asked.enough FROM asked)
    )
)"""


def _fetched(
    query: LiteralString, columns: LiteralString, source: LiteralString, whose: LiteralString
) -> LiteralString:
    """Return the scan of the search index.

    The owners are asked for twice: and-ed into the query, which keeps the scan short, and beside it, which tells a
    generic plan how few rows that leaves.
    """
    return """
    SELECT """ + columns + """, search
    FROM wanted
    JOIN """ + source + """ AS m ON m.organization_id = $1
        AND m.search @@ wanted.owned
        AND m.search @@ (wanted.owned && """ + query + """)
    WHERE (wanted.demanded IS NULL OR m.search @@ wanted.demanded)
      AND """ + whose


# From `candidate` to the sum over its words. Where no frequency is known the candidates themselves are counted: for an
# agent with few rows they are all rows that have the word. Rarities are read from an array, so that no plan joins them.
# Of equal rows the older comes first: it is the one that said it first (and finds one answer in a hundred more).
_SUMMED: Final[tuple[LiteralString, LiteralString, LiteralString]] = ("""
hit AS MATERIALIZED (
    SELECT """, """, t.place, t.weight * ts_rank('{1,1,1,1}', c.search, t.query) AS rank
    FROM candidate AS c
    JOIN term AS t ON c.search @@ t.query
),
rarity AS MATERIALIZED (
    SELECT array_agg(ln(1 + greatest(n.rows - n.frequency + 0.5, 0.5) / (n.frequency + 0.5)) ORDER BY n.place) AS idf
    FROM (
        SELECT t.place,
               greatest(t.frequency, (SELECT count(*) FROM hit AS h WHERE h.place = t.place)) AS frequency,
               greatest(total.frequency, (SELECT count(*) FROM candidate))                    AS rows
        FROM term AS t
        CROSS JOIN total
    ) AS n
),
summed AS MATERIALIZED (
    SELECT """, """,
           sum(h.rank * r.idf[h.place])                                       AS score,
           row_number() OVER (ORDER BY sum(h.rank * r.idf[h.place]) DESC, id) AS place
    FROM hit AS h
    CROSS JOIN rarity AS r
    GROUP BY """)

# From `pool`, the best 200: the twenty words that the best ten have most in common and few others have. Rows with very
# many words are left out: they have something in common with everything.
_RELATED: Final[LiteralString] = """
related AS MATERIALIZED (
    SELECT agentmem.search_term(known.lexeme) AS query,
           """ + _WEIGHT + """
           * 2 * known.share / (SELECT sum(p.score) FROM pool AS p WHERE p.place <= 10)
           * ln(1 + greatest(known.rows - known.frequency + 0.5, 0.5) / (known.frequency + 0.5)) AS weight
    FROM (
        SELECT word.lexeme,
               sum(p.score / (3 + length(p.search))) FILTER (WHERE p.place <= 10) AS share,
               count(*)                                                           AS frequency,
               (SELECT count(*) FROM candidate)                                   AS rows
        FROM pool AS p
        CROSS JOIN unnest(p.search) AS word
        WHERE length(p.search) <= 300 AND word.lexeme NOT LIKE '@%'
        GROUP BY word.lexeme
    ) AS known
    WHERE known.share > 0 AND known.lexeme NOT IN (SELECT t.lexeme FROM term AS t)
    ORDER BY weight DESC, known.lexeme
    LIMIT 20
)"""


def scored(columns: LiteralString, source: LiteralString) -> LiteralString:
    """Return the CTE `scored`: the columns of the candidates with their `score`.

    The words that the best have in common count a little for the others: those say the same in other words.

    Args:
        columns: as in `candidates`.
        source: the table.
    """
    first, then, last = _SUMMED
    summed = first + columns + then + columns + last + columns
    return summed + """
),
pool AS MATERIALIZED (
    SELECT """ + columns + """, s.score, s.place,
           (
               SELECT m.search
               FROM """ + source + """ AS m
               WHERE m.organization_id = $1 AND m.id = s.id
           ) AS search
    FROM summed AS s
    WHERE s.place <= 200
),""" + _RELATED + """,
scored AS MATERIALIZED (
    SELECT """ + columns + """,
           p.score + coalesce((SELECT sum(r.weight) FROM related AS r WHERE p.search @@ r.query), 0) AS score
    FROM pool AS p
    UNION ALL
    SELECT """ + columns + """, s.score
    FROM summed AS s
    WHERE s.place > 200
)"""
