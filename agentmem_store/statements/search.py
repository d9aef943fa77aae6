"""The ranking that searches of messages and of memories share, as parts of their statements.

A row's score is the sum, over the words asked for that are in it, of how often the word is there (`ts_rank` of that one
word) times how rare it is (its inverse document frequency). Rows come from an index scan within the owner's rows.

The parts are lists of CTEs. Before them stands `asked`, one row with: language, marks (which a row must have; some may
be NULL), words, phrases, excluded, enough (how many candidates to look at where frequencies are known), most (how many
rows the caller wants).
"""

from __future__ import annotations

from typing import Final, LiteralString

__all__ = ["candidates", "demanded", "of_found", "scored", "terms"]


# The lexemes of the words, the rarest first, of which 64 count. What has no known frequency counts as rare. A single
# character of a script without spaces (from Thai on) says less than a pair.
_TERM: Final[tuple[LiteralString, ...]] = ("""
term AS MATERIALIZED (
    SELECT known.place,
           known.lexeme,
           known.frequency,
           agentmem.search_term(known.lexeme) AS query,
           CASE WHEN char_length(known.lexeme) = 1 AND ascii(known.lexeme) >= 3584 THEN 0.7 ELSE 1 END::real AS weight,
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
                   LIMIT 1000
               ) AS counted
           ))::double precision AS frequency
)""")

# What every row must fulfil, and what none may: phrases, and what is excluded.
_DEMAND: Final[LiteralString] = """
demand AS MATERIALIZED (
    SELECT agentmem.search_phrase(asked.language, d.phrase) AS query,
           agentmem.search_runs(d.phrase)                   AS runs,
           d.is_wanted
    FROM asked
    CROSS JOIN LATERAL (
        SELECT phrase, true
        FROM unnest(asked.phrases) AS phrase
        UNION ALL
        SELECT phrase, false
        FROM unnest(asked.excluded) AS phrase
    ) AS d (phrase, is_wanted)
    WHERE agentmem.search_phrase(asked.language, d.phrase) IS NOT NULL
)"""

# `within`: the owner's rows, with the phrases. `leading` asks for the rarest words, until `enough` rows are in sight,
# and for the next one where a commoner one stands beside it; `further` asks for the rest. Both are NULL where there is
# nothing to ask for: an empty query would be lost in the and, and every row of the owner found.
_WANTED: Final[LiteralString] = """
wanted AS MATERIALIZED (
    SELECT concat_ws(
               ' & ',
               agentmem.search_marked(asked.marks),
               (
                   SELECT string_agg('(' || d.query::text || ')', ' & ')
                   FROM demand AS d
                   WHERE d.is_wanted
               ))::tsquery AS within,
           nullif(
               concat_ws(' | ', chosen.rarest, chosen.next || ' & (' || chosen.common || ')'), '')::tsquery AS leading,
           nullif(concat_ws(' | ', chosen.next, chosen.common), '')::tsquery                                AS further
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
    """Return the CTEs `term`, the words asked for, `total`, the rows there are as far as known, `demand` and `wanted`.

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
    return first + frequency + then + frequency + otherwise + rows + last + "," + _DEMAND + "," + _WANTED


def demanded(body: LiteralString) -> LiteralString:
    """Return the condition that a row `m` has every phrase and nothing that is excluded.

    Args:
        body: the text that is searched, of `m`.
    """
    return """(NOT EXISTS (
          SELECT
          FROM demand AS d
          WHERE (m.search @@ d.query AND agentmem.search_contains(""" + body + """, d.runs)) <> d.is_wanted
      )) IS TRUE"""


def candidates(
    columns: LiteralString, source: LiteralString, body: LiteralString, whose: LiteralString
) -> LiteralString:
    """Return the CTE `hit`: the rows to score, once for each of the words that is in them, with its `place` and `rank`.

    Only where `leading` finds fewer than `most` is `further` asked.

    Args:
        columns: what is read of a row beside `search`, first its `id`.
        source: the table, as `m`.
        body: the text that is searched, of `m`.
        whose: conditions on `m`. All but one on the column of a partial index stand in `(…) IS TRUE`, which no B-tree
            serves: it would read all rows of the agent.
    """
    led = _fetched("wanted.leading", columns, source, body, whose)
    further = _fetched("wanted.further", columns, source, body, whose)
    return """
led AS MATERIALIZED (""" + _ranked(columns, led + """
            OFFSET 0""") + """
),
hit AS MATERIALIZED (
    SELECT """ + columns + """, place, rank
    FROM led
    UNION ALL (""" + _ranked(columns, further + """
              AND """ + _number_of_rows("led") + """ < (SELECT asked.most FROM asked)
              AND (m.search @@ wanted.leading) IS NOT TRUE
            LIMIT (SELECT asked.enough FROM asked)""") + """
    )
)"""


def _number_of_rows(hits: LiteralString) -> LiteralString:
    return "(SELECT count(*) FROM (SELECT FROM " + hits + " AS h GROUP BY h.id) AS h)"


def _ranked(columns: LiteralString, rows: LiteralString) -> LiteralString:
    """Return rows once for each of the words in them. Their `search` is read here only: keeping it took a tenth more.

    `ts_rank` is 0 where the word is not there, so nothing else has to be asked.
    """
    return """
    SELECT """ + columns + """, place, rank
    FROM (
        SELECT """ + columns + """, t.place, t.weight * ts_rank('{0.5,0.5,0.5,1}', f.search, t.query) AS rank
        FROM (""" + rows + """
        ) AS f
        CROSS JOIN term AS t
        OFFSET 0
    ) AS ranked
    WHERE rank > 0"""


def _fetched(
    query: LiteralString, columns: LiteralString, source: LiteralString, body: LiteralString, whose: LiteralString
) -> LiteralString:
    """Return the scan of the search index.

    What every row has is asked for twice: and-ed into the query, which keeps the scan short, and beside it, which tells
    a generic plan how few rows that leaves.
    """
    return """
            SELECT """ + columns + """, search
            FROM wanted
            JOIN """ + source + """ AS m ON m.organization_id = $1
                AND m.search @@ wanted.within
                AND m.search @@ (wanted.within && """ + query + """)
            WHERE """ + whose + """
              AND """ + demanded(body)


# From `hit` to the sum over its words; a word of the label counts double. Where no frequency is known the rows found
# are counted: for an agent with few rows they are all rows that have the word. Rarities are read from an array by a
# subquery: once, and no plan joins them.
_SCORED: Final[tuple[LiteralString, ...]] = ("""
rarity AS MATERIALIZED (
    SELECT array_agg(ln(1 + greatest(n.rows - n.frequency + 0.5, 0.5) / (n.frequency + 0.5)) ORDER BY n.place) AS idf
    FROM (
        SELECT t.place,
               greatest(t.frequency, seen.frequency)                  AS frequency,
               greatest(total.frequency, """ + _number_of_rows("hit") + """) AS rows
        FROM term AS t
        CROSS JOIN total
        LEFT JOIN (
            SELECT h.place, count(*) AS frequency
            FROM hit AS h
            GROUP BY h.place
        ) AS seen ON seen.place = t.place
        OFFSET 0
    ) AS n
),
scored AS MATERIALIZED (
    SELECT """, """,
           sum(h.rank * (SELECT r.idf FROM rarity AS r)[h.place]) AS score
    FROM hit AS h
    GROUP BY """, """
)""")


def scored(columns: LiteralString) -> LiteralString:
    """Return the CTE `scored`: the columns of the rows of `hit` with their `score`.

    Args:
        columns: as in `candidates`.
    """
    first, last, end = _SCORED
    return first + columns + last + columns + end


def of_found(column: LiteralString, found: LiteralString = "found") -> LiteralString:
    """Return a column of a CTE of found rows for the row `m`, which is read by `m.id = ANY (ARRAY(SELECT f.id …))`.

    A join with the CTE reads all of those rows again for each of them: 1,000 took seconds (measured).
    """
    rows = " FROM " + found + " AS f)"
    return "(ARRAY(SELECT f." + column + rows + ")[array_position(ARRAY(SELECT f.id" + rows + ", m.id)]"
