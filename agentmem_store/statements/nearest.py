"""The nearest rows to a vector, and what becomes of their cosines and of the scores of words, as parts of statements.

The parts are lists of CTEs, to stand behind those of `search`, of which they read `asked`, `demand` and `scored`.
Before them stands `sought`, one row, or none where there is nothing to search in: model, embedding, number (how many of
the nearest, and how many of the best by words, are compared), vector, importance, recency (what share each has in the
score), half_life (in days).

An exact scan reads all vectors of the owner. Where there is an HNSW index, which is over the vectors of all in half
precision, it is asked first if the owner has so large a part of them that it has to pass over few others. What it finds
is compared in the precision of the column. It may be too little: then the exact scan follows. Nothing depends on
settings of the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

if TYPE_CHECKING:
    from agentmem_store.statements.sides import Side

__all__ = ["fused", "nearest"]

_OWNED: Final[LiteralString] = "e.organization_id = $1 AND e.model = (SELECT s.model FROM sought AS s)\n      AND "
_DISTANCE: Final[LiteralString] = "agentmem.embedding_distance(e.embedding, (SELECT s.embedding FROM sought AS s))"

# Measured with 384 dimensions and rows in memory: an exact scan takes 1 to 2 µs for each of the owner's n rows; the
# index ten times that for each of the 100 * N / n rows that it visits, N being the rows of all, and as much as 2,000
# rows to begin with. So it pays where n * (n - 2000) > 1000 * N: of 111,000 rows from 11,600 on. Before pgvector 0.8 it
# gave up after the first 40 rows, whosever they were.
_IS_LARGE: Final[tuple[LiteralString, ...]] = ("""
    SELECT CASE
               WHEN EXISTS (
                        SELECT
                        FROM pg_index   AS i
                        JOIN pg_class   AS c ON c.oid = i.indexrelid
                        JOIN pg_am      AS a ON a.oid = c.relam
                        JOIN pg_opclass AS o ON o.oid = i.indclass[0]
                        JOIN pg_proc    AS p ON p.prorettype = o.opcintype
                        WHERE i.indrelid = '""", """'::regclass AND i.indisvalid AND a.amname = 'hnsw'
                          AND p.oid = '""", """'::regproc
                    )
                    AND EXISTS (
                        SELECT
                        FROM pg_extension AS x
                        WHERE x.extname = 'vector' AND string_to_array(x.extversion, '.')::integer[] >= '{0,8}'
                    )
               THEN (
                        SELECT CASE
                                   WHEN """, """ AND (SELECT t.frequency FROM total AS t) >= n.least THEN true
                                   ELSE (
                                            SELECT count(*)
                                            FROM (
                                                SELECT
                                                FROM """, """
                                                LIMIT n.least
                                            ) AS counted
                                        ) = n.least
                               END
                        FROM (
                            SELECT ceil(1000 + sqrt(1000000 + 1000 * greatest(t.reltuples, 0)))::bigint AS least
                            FROM pg_class AS t
                            WHERE t.oid = '""", """'::regclass
                        ) AS n
                    )
               ELSE false
           END AS is_large
    FROM asked
    WHERE asked.most <= 100""")

# For the index scan and to the end of the transaction, which is the statement's own unless the caller began one.
_ITERATING: Final[LiteralString] = """(
              SELECT CASE
                         WHEN z.is_large
                         THEN set_config('hnsw.iterative_scan', 'relaxed_order', true)
                              || set_config('hnsw.ef_search', '100', true)
                     END
              FROM """


def nearest(
    name: LiteralString, side: Side, whose: tuple[LiteralString, LiteralString], fits: LiteralString,
    gate: LiteralString = "true",
) -> LiteralString:
    """Return the CTE `name`: the columns of the rows nearest to what is sought, with their `similarity`, 1 at most.

    Args:
        name: also begins the names of the CTEs that lead to it.
        side: the table of embeddings, as `e`.
        whose: the condition on `e` that an index serves; and that on parameters under which `total` of `search` tells
            how many rows there are, which else are counted as far as it matters.
        fits: the condition on the row that was embedded, as `m`, of which each is looked up by its key, the nearest
            first, until there are enough.
        gate: whether to look at all.
    """
    own: LiteralString = "e." + side.key + " AS id" + _listed(side, "e.")
    return (_sized(name, side, *whose) + "," + _reached(name, side, own, whose[0], fits, gate) + ","
        + _scanned(name, side, own, whose[0], fits, gate) + """,
""" + name + """ AS MATERIALIZED (
    SELECT n.id""" + _listed(side, "n.") + """, 1 - n.distance AS similarity
    FROM """ + name + """_scanned AS n
    UNION ALL
    SELECT n.id""" + _listed(side, "n.") + """, 1 - n.distance
    FROM """ + name + """_reached AS n
    WHERE NOT EXISTS (SELECT FROM """ + name + """_scanned)
    LIMIT 1000
)""")


def _sized(name: LiteralString, side: Side, whose: LiteralString, known: LiteralString) -> LiteralString:
    first, index, then, rows, end, last = _IS_LARGE
    counted: LiteralString = side.table + """ AS e
                                                WHERE """ + _OWNED + whose
    return """
""" + name + "_sized AS MATERIALIZED (" + (
        first + side.table + index + side.indexed + then + known + rows + counted + end + side.table + last) + """
)"""


def _reached(name: LiteralString, side: Side, *parts: LiteralString) -> LiteralString:
    own, whose, fits, gate = parts
    return """
""" + name + """_reached AS MATERIALIZED (
    -- Whose it is stands in a subquery, from which the planner takes no other index, and expects to find many.
    SELECT """ + own + """,
           """ + _DISTANCE + """ AS distance
    FROM """ + side.table + """ AS e
    WHERE """ + gate + " AND " + _ITERATING + name + """_sized AS z
          ) IS NOT NULL
      AND (
              SELECT e.organization_id = $1 AND e.model = s.model AND """ + whose + """
              FROM sought AS s
          )
      AND """ + _fitting(side, "e." + side.key, fits) + """
    ORDER BY agentmem.embedding_distance(
                 """ + side.indexed + "(e.embedding), " + side.indexed + """((SELECT s.embedding FROM sought AS s))
             )
    LIMIT 100
)"""


def _scanned(name: LiteralString, side: Side, *parts: LiteralString) -> LiteralString:
    own, whose, fits, gate = parts
    return """
""" + name + """_scanned AS MATERIALIZED (
    SELECT every.id""" + _listed(side, "every.") + """, every.distance
    FROM (
        -- + 0: an index that gives the nearest first gives no more than some of them.
        SELECT """ + own + """,
               """ + _DISTANCE + """ + 0 AS distance
        FROM """ + side.table + """ AS e
        WHERE """ + _OWNED + whose + """
          AND """ + gate + " AND (SELECT count(*) FROM " + name + """_reached) < (SELECT asked.most FROM asked)
        ORDER BY distance
        OFFSET 0
    ) AS every
    WHERE """ + _fitting(side, "every.id", fits) + """
    LIMIT (SELECT s.number FROM sought AS s)
)"""


def fused(side: Side, near: tuple[LiteralString, ...], importance: LiteralString) -> LiteralString:
    """Return the CTE `fused`: columns of the best by words and of the nearest, `score`, and of what it is the sum.

    Args:
        side: the table of embeddings.
        near: the CTEs of `nearest`.
        importance: that of a row `m` of the source.
    """
    listed = _listed(side, "w.")
    return _mixed(side, near) + """,
fused AS MATERIALIZED (
    SELECT w.id""" + listed + """, w.of_text, w.of_vector, w.of_importance, w.of_recency,
           w.of_text + w.of_vector + w.of_importance + w.of_recency AS score
    FROM (
        SELECT w.id""" + listed + """,
               (1 - s.vector) * coalesce(w.words / nullif(max(w.words) OVER (), 0), 0) AS of_text,
               s.vector * CASE
                              WHEN w.similarity IS NULL THEN 0
                              WHEN max(w.similarity) OVER () = min(w.similarity) OVER () THEN 1
                              ELSE (w.similarity - min(w.similarity) OVER ())
                                   / (max(w.similarity) OVER () - min(w.similarity) OVER ())
                          END AS of_vector,
               CASE
                   WHEN s.importance > 0 THEN s.importance * """ + _of_row(side, importance) + """
                   ELSE 0
               END AS of_importance,
               CASE
                   WHEN s.recency > 0 THEN s.recency * """ + _of_row(side, _FRESHNESS) + """
                   ELSE 0
               END AS of_recency
        FROM mixed AS w
        CROSS JOIN sought AS s
    ) AS w
)"""


def _mixed(side: Side, near: tuple[LiteralString, ...]) -> LiteralString:
    """Return the CTE `mixed`: the best by words and the nearest, each with the cosine if it is embedded.

    No caller asks for more than the 1,000 that limit it: they tell the planner how small a table to hash them in. The
    best by words are looked up by one scan of the key, not by one for each. The model stands in `(…) IS TRUE`, so that
    it is that key: an index on (organization, model) looks as good to the planner before a table is analyzed, and gives
    all that the model made (measured: 1 ms for each row).
    """
    listed = _listed(side, "w.")
    of_vectors: LiteralString = ""
    for name in near:
        of_vectors = of_vectors + """
        UNION ALL
        SELECT n.id""" + _listed(side, "n.") + """, NULL, n.similarity
        FROM """ + name + " AS n"
    return """
best_by_words AS MATERIALIZED (
    SELECT s.id""" + _listed(side, "s.") + """, s.score
    FROM (
        SELECT s.id""" + _listed(side, "s.") + """, s.score
        FROM scored AS s
        ORDER BY s.score DESC, s.id
        LIMIT (SELECT s.number FROM sought AS s)
    ) AS s
    LIMIT 1000
),
mixed AS MATERIALIZED (
    SELECT w.id""" + listed + """, max(w.words) AS words, max(w.similarity) AS similarity
    FROM (
        SELECT s.id""" + _listed(side, "s.") + """, s.score AS words, NULL::double precision AS similarity
        FROM best_by_words AS s
        UNION ALL
        SELECT e.""" + side.key + _listed(side, "e.") + """, NULL, 1 - """ + _DISTANCE + """
        FROM """ + side.table + """ AS e
        WHERE e.organization_id = $1 AND e.""" + side.key + """ = ANY (ARRAY(SELECT s.id FROM best_by_words AS s))
          AND (e.model = (SELECT s.model FROM sought AS s)) IS TRUE""" + of_vectors + """
    ) AS w
    GROUP BY w.id""" + listed + """
)"""


_FRESHNESS: Final[LiteralString] = """power(
                       0.5, greatest(extract(epoch FROM now() - m.created_at)::double precision, 0)
                            / 86400 / s.half_life)"""


def _listed(side: Side, of: LiteralString) -> LiteralString:
    """Return the further columns of a candidate, each after a comma."""
    listed: LiteralString = ""
    for column in side.columns:
        listed = listed + ", " + of + column
    return listed


def _fitting(side: Side, key: LiteralString, fits: LiteralString) -> LiteralString:
    # A scalar subquery is one probe of the primary key, whatever the planner knew of the table.
    return """(
              SELECT """ + fits + """
              FROM agentmem.""" + side.source + """ AS m
              WHERE m.organization_id = $1 AND m.id = """ + key + """
          )"""


def _of_row(side: Side, value: LiteralString) -> LiteralString:
    return """(
                       SELECT """ + value + """
                       FROM agentmem.""" + side.source + """ AS m
                       WHERE m.organization_id = $1 AND m.id = w.id
                   )"""
