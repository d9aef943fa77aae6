"""Searches by words and by a vector in one statement: those by words, with the nearest mixed in.

Their parameters are those of the statements by words; behind them come the model, the vector, how many of the nearest
and of the best by words are compared, and what counts how much (see `Fusion`). There is a statement for each table of
embeddings, and for each way to say whose rows, since each has an index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from agentmem_store.models.memories import RankedMemory
from agentmem_store.models.messages import RankedMessage
from agentmem_store.query import Query
from agentmem_store.statements import context, memories, memory_recall, message_search, messages, search
from agentmem_store.statements.nearest import fused, nearest
from agentmem_store.statements.sides import MEMORIES, MESSAGES, PerSide
from agentmem_store.statements.visibility import LIVING_AGENT, LIVING_ORGANIZATION

if TYPE_CHECKING:
    from agentmem_store.models.context import ContextRow
    from agentmem_store.statements.sides import Side
    from agentmem_store.statements.threads import ByThread

__all__ = [
    "CONTEXT",
    "CONTEXT_OF_GROUP",
    "CONTEXT_OF_USER",
    "MEMORIES_OF_AGENT",
    "MEMORIES_OF_ALL",
    "MEMORIES_OF_USER",
    "MESSAGES_OF_ALL",
    "MESSAGES_OF_GROUP",
    "MESSAGES_OF_USER",
]


def _sought(side: Side, parameters: tuple[LiteralString, ...]) -> LiteralString:
    model, embedding, number, vector, importance, recency, half_life = parameters
    return """
sought AS MATERIALIZED (
    SELECT """ + model + """::text AS model,
           """ + side.to_vector + "(" + embedding + """::real[]) AS embedding,
           """ + number + """::bigint AS number,
           """ + vector + """::double precision AS vector,
           """ + importance + """::double precision AS importance,
           """ + recency + """::double precision AS recency,
           """ + half_life + """::double precision AS half_life
    FROM asked
)"""


_PARTS: Final[LiteralString] = """
       """ + search.of_found("of_text", "fused") + """ AS of_text,
       """ + search.of_found("of_vector", "fused") + """ AS of_vector,
       """ + search.of_found("of_importance", "fused") + """ AS of_importance,
       """ + search.of_found("of_recency", "fused") + """ AS of_recency"""

# Who it belongs to is asked of what is found: that changes seldom, and takes more look-ups than all else.
_MEMORY_FITS: Final[LiteralString] = """NOT m.is_deleted AND (m.expires_at IS NULL OR m.expires_at > now())
                AND """ + search.demanded("m.content")


def _memories(side: Side, name: LiteralString, *whose: LiteralString) -> Query[RankedMemory]:
    fits: LiteralString = _MEMORY_FITS + memory_recall.FILTERS
    return Query("memories.search_" + name + side.dimension, RankedMemory, memory_recall.WORDS + ","
        + _sought(side, ("$13", "$14", "$15", "$16", "$17", "$18", "$19")) + ","
        + nearest("near", side, (whose[0], whose[1]), fits) + ","
        + fused(side, ("near",), "m.importance") + ","
        + memory_recall.found("fused") + """
SELECT """ + memories.COLUMNS + """,
       """ + search.of_found("score") + """ AS rank,""" + _PARTS + """
FROM agentmem.memories AS m
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT f.id FROM found AS f))
ORDER BY rank DESC, m.id
""")


# Whose rows is asked as a range too, of which a generic plan expects few: else it reads the whole table for an owner
# who has little of it, where the average owner has much (measured: 120 ms and not 10).
#
# $13 the model, $14 the vector, $15 how many; $16 the vector, $17 importance, $18 recency count; $19 days of half-life.
MEMORIES_OF_AGENT: Final = PerSide(MEMORIES, lambda side: _memories(
    side, "of_agent_", "e.agent_id = $3 AND e.agent_id BETWEEN $3 AND $3 AND ($4::uuid IS NULL OR e.user_id = $4)",
    "$4::uuid IS NULL"))
MEMORIES_OF_USER: Final = PerSide(MEMORIES, lambda side: _memories(
    side, "of_user_", "e.user_id = $4 AND e.user_id BETWEEN $4 AND $4 AND $3::uuid IS NULL", "false"))
MEMORIES_OF_ALL: Final = PerSide(MEMORIES, lambda side: _memories(
    side, "of_all_", "$3::uuid IS NULL AND $4::uuid IS NULL", "true"))


def _messages(side: Side, name: LiteralString, *whose: LiteralString) -> Query[RankedMessage]:
    visible: LiteralString = "NOT m.is_deleted AND " + search.demanded(message_search.BODY)
    fitting: LiteralString = visible + "\n                AND " + message_search.ONLY
    filtered: LiteralString = "num_nonnulls($14::text, $15::timestamptz, $16::timestamptz, $17::text) > 0"
    return Query("messages.search_" + name + side.dimension, RankedMessage, message_search.WORDS + ","
        + _sought(side, ("$18", "$19", "$20", "$21", "0", "$22", "$23")) + ","
        + nearest("near", side, (whose[0], whose[1]), visible) + ","
        + nearest("fit", side, (whose[0], whose[1]), fitting, filtered) + ","
        + fused(side, ("near", "fit"), "0") + ","
        + message_search.gathered("fused") + """
SELECT """ + messages.COLUMNS + """,
       """ + search.of_found("score") + """ AS score,
       """ + search.of_found("own") + """ AS own,""" + _PARTS + """
FROM agentmem.messages AS m
WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT f.id FROM found AS f))
  AND """ + LIVING_ORGANIZATION + """
  AND """ + LIVING_AGENT + """
ORDER BY score DESC, m.seq
""")


# $18 the model, $19 the vector, $20 how many; $21 the vector, $22 recency count; $23 days of half-life. What stands
# beside a message is not bound by filters, so with one the nearest of all are asked for, and the nearest that fit.
MESSAGES_OF_ALL: Final = PerSide(MESSAGES, lambda side: _messages(
    side, "of_all_", "e.agent_id = $2 AND e.agent_id BETWEEN $2 AND $2 AND $3::uuid IS NULL AND $4::text IS NULL",
    "true"))
MESSAGES_OF_USER: Final = PerSide(MESSAGES, lambda side: _messages(
    side, "of_user_", "e.agent_id = $2 AND e.user_id = $3 AND e.user_id BETWEEN $3 AND $3 AND $4::text IS NULL",
    "false"))
MESSAGES_OF_GROUP: Final = PerSide(MESSAGES, lambda side: _messages(
    side, "of_group_", "e.agent_id = $2 AND e.group_id = $4 AND e.group_id BETWEEN $4 AND $4\n"
    "      AND ($3::uuid IS NULL OR e.user_id = $3)", "false"))


def _contexts(side: Side) -> ByThread[ContextRow]:
    whose: LiteralString = """e.agent_id = $2 AND e.agent_id BETWEEN $2 AND $2
      AND ($3::uuid IS NULL OR e.user_id IS NULL OR e.user_id = $3)"""
    return context.assembling("context.assemble_hybrid_" + side.dimension, context.WORDS + ","
        + _sought(side, ("$12", "$13", "$14", "$15", "$16", "$17", "$18")) + ","
        + nearest("near", side, (whose, "$3::uuid IS NULL"), _MEMORY_FITS) + ","
        + fused(side, ("near",), "m.importance") + ","
        + memory_recall.found("fused") + """
               SELECT """ + memories.COLUMNS + """,
                      """ + search.of_found("score") + """ AS rank,""" + _PARTS + """
               FROM agentmem.memories AS m
               WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT f.id FROM found AS f))""")


# $12 the model, $13 the vector, $14 how many; $15 the vector, $16 importance, $17 recency count; $18 days of half-life.
CONTEXT: Final = PerSide(MEMORIES, lambda side: _contexts(side).of_all)
CONTEXT_OF_USER: Final = PerSide(MEMORIES, lambda side: _contexts(side).of_user)
CONTEXT_OF_GROUP: Final = PerSide(MEMORIES, lambda side: _contexts(side).of_group)
