"""Statements over the tables of embeddings: storing, removing, counting, and finding what a model has not embedded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString

from agentmem_store.models.embeddings import EmbeddingModel, MemoryParent, MessageParent, Source, Unembedded
from agentmem_store.query import Query
from agentmem_store.statements.message_search import BODY
from agentmem_store.statements.sides import MEMORIES, MESSAGES, PerSide

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agentmem_store.statements.sides import Side

__all__ = ["BY_SOURCE", "MODELS", "BySource", "copy_of"]


def _columns(side: Side, of: LiteralString) -> LiteralString:
    listed: LiteralString = ""
    for column in side.owner + side.columns:
        listed = listed + ", " + of + column
    return listed


# $2 ids. They are not removed until the transaction ends.
def _parents(side: Side) -> Query[Any]:
    row: type[Any] = MemoryParent if side.source == "memories" else MessageParent
    return Query("embeddings.parents_" + side.source + "_" + side.dimension, row, """
SELECT m.id, m.version""" + _columns(side, "m.") + """
FROM agentmem.""" + side.source + """ AS m
WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[]) AND m.deleted_at IS NULL
ORDER BY m.id
FOR KEY SHARE
""")


# $2 the model, $3 ids in order, $4 their versions (NULL: as they stand), $5 their vectors one behind the other. Returns
# how many of the rows there were.
def _store(side: Side) -> Query[int]:
    return Query("embeddings.store_" + side.source + "_" + side.dimension, int, """
WITH living AS MATERIALIZED (
    SELECT m.id, m.version""" + _columns(side, "m.") + """
    FROM agentmem.""" + side.source + """ AS m
    WHERE m.organization_id = $1 AND m.id = ANY ($3::uuid[]) AND m.deleted_at IS NULL
    ORDER BY m.id
    FOR KEY SHARE
),
stored AS (
    INSERT INTO """ + side.table + """ AS e (
        organization_id, """ + side.key + ", model, version, embedding" + _columns(side, "") + """
    )
    SELECT $1, m.id, $2, coalesce(i.version, m.version),
           """ + side.to_vector + "(($5::real[])[(i.place - 1) * " + side.dimension + " + 1 : i.place * "
        + side.dimension + "])" + _columns(side, "m.") + """
    FROM unnest($3::uuid[], $4::integer[]) WITH ORDINALITY AS i (id, version, place)
    JOIN living AS m ON m.id = i.id
    ORDER BY m.id
    ON CONFLICT (organization_id, """ + side.key + """, model) DO UPDATE
    SET embedding   = excluded.embedding,
        version     = excluded.version,
        embedded_at = excluded.embedded_at
    WHERE excluded.version >= e.version
)
SELECT count(*)
FROM living
""")


# $2 the model, $3 ids.
def _clear(side: Side) -> Query[int]:
    return Query("embeddings.clear_" + side.source + "_" + side.dimension, int, """
WITH target AS (
    SELECT e.""" + side.key + """ AS id
    FROM """ + side.table + """ AS e
    WHERE e.organization_id = $1 AND e.""" + side.key + """ = ANY ($3::uuid[]) AND e.model = $2
    ORDER BY e.""" + side.key + """
    FOR UPDATE
),
removed AS (
    DELETE FROM """ + side.table + """ AS e
    WHERE e.organization_id = $1 AND e.""" + side.key + """ = ANY (ARRAY(SELECT t.id FROM target AS t))
      AND e.model = $2
    RETURNING e.model
)
SELECT count(*)
FROM removed
""")


# $2 the model, $3 how many. What others hold is left for the next batch.
def _drop(side: Side) -> Query[int]:
    return Query("embeddings.drop_" + side.source + "_" + side.dimension, int, """
WITH target AS (
    SELECT e.""" + side.key + """ AS id
    FROM """ + side.table + """ AS e
    WHERE e.organization_id = $1 AND e.model = $2
    LIMIT $3
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM """ + side.table + """ AS e
    WHERE e.organization_id = $1 AND e.""" + side.key + """ = ANY (ARRAY(SELECT t.id FROM target AS t))
      AND e.model = $2
    RETURNING e.model
)
SELECT count(*)
FROM removed
""")


# $2 the model.
def _count(side: Side) -> Query[int]:
    return Query("embeddings.count_" + side.source + "_" + side.dimension, int, """
SELECT count(*)
FROM """ + side.table + """ AS e
WHERE e.organization_id = $1 AND e.model = $2
""")


# Of rows `m`: the text, and whether it is there and not as $2, the model, embedded it. The model is in `(…) IS TRUE`
# so that each row is looked up by its key: before the table is analyzed an index on (organization, model) looks as good
# to the planner, and gives all that the model made.
def _text(side: Side) -> LiteralString:
    return "m.content" if side.source == "memories" else BODY


def _is_due(side: Side) -> LiteralString:
    return """m.deleted_at IS NULL AND """ + _text(side) + """ <> ''
      AND (
              SELECT e.version
              FROM """ + side.table + """ AS e
              WHERE e.organization_id = $1 AND e.""" + side.key + """ = m.id AND (e.model = $2) IS TRUE
          ) IS DISTINCT FROM m.version"""


# $2 the model, $3 the id to go on after, $4 how many, $5 the agent or NULL.
def _due(side: Side) -> Query[Unembedded]:
    return Query("embeddings.due_" + side.source + "_" + side.dimension, Unembedded, """
SELECT m.id, m.version, """ + _text(side) + """ AS text
FROM agentmem.""" + side.source + """ AS m
WHERE m.organization_id = $1 AND m.id > $3 AND ($5::uuid IS NULL OR m.agent_id = $5)
      AND """ + _is_due(side) + """
ORDER BY m.id
LIMIT $4
""")


# $2 the model, $3 the agent or NULL.
def _count_due(side: Side) -> Query[int]:
    return Query("embeddings.count_due_" + side.source + "_" + side.dimension, int, """
SELECT count(*)
FROM agentmem.""" + side.source + """ AS m
WHERE m.organization_id = $1 AND ($3::uuid IS NULL OR m.agent_id = $3)
      AND """ + _is_due(side) + """
""")


class BySource:
    """The statements over the embeddings of one source; each takes $2 the model, but for `parents`."""

    def __init__(self, sides: Mapping[int, Side]) -> None:
        self.sides = sides
        self.parents = PerSide(sides, _parents)
        self.store = PerSide(sides, _store)
        self.clear = PerSide(sides, _clear)
        self.drop = PerSide(sides, _drop)
        self.count = PerSide(sides, _count)
        self.due = PerSide(sides, _due)
        self.count_due = PerSide(sides, _count_due)

    def __iter__(self) -> Iterator[Query[Any]]:
        for each in (self.parents, self.store, self.clear, self.drop, self.count, self.due, self.count_due):
            yield from each


BY_SOURCE: Final[dict[Source, BySource]] = {"memories": BySource(MEMORIES), "messages": BySource(MESSAGES)}


def copy_of(side: Side) -> Query[int]:
    """Return the COPY into a table, which is no Query of the catalogue: it cannot be prepared."""
    return Query("embeddings.copy_" + side.source + "_" + side.dimension, int, """
COPY """ + side.table + """ (
    organization_id, """ + side.key + ", model, version, embedding" + _columns(side, "") + """
) FROM STDIN (FORMAT binary)
""")


# Goes from one model to the next by the index, however many rows each has.
def _models(side: Side) -> LiteralString:
    least: LiteralString = """
            SELECT e.model
            FROM """ + side.table + """ AS e
            WHERE e.organization_id = $1"""
    return """
SELECT '""" + side.source + "' AS source, known.model, " + side.dimension + """ AS dimension
FROM (
    WITH RECURSIVE known AS (
        SELECT (""" + least + """
            ORDER BY e.model
            LIMIT 1
        ) AS model
        UNION ALL
        SELECT (""" + least + """ AND e.model > k.model
            ORDER BY e.model
            LIMIT 1
        )
        FROM known AS k
        WHERE k.model IS NOT NULL
    )
    SELECT k.model
    FROM known AS k
    WHERE k.model IS NOT NULL
) AS known"""


def _all_models() -> LiteralString:
    text: LiteralString = ""
    for side in (*MEMORIES.values(), *MESSAGES.values()):
        text = text + ("\nUNION ALL" if text else "") + _models(side)
    return text + "\nORDER BY source, model, dimension\n"


MODELS: Final = Query("embeddings.models", EmbeddingModel, _all_models())
