"""An agent with all that it needs, in one statement. Lists travel as JSON beside the agent's own columns."""

from __future__ import annotations

from typing import Final, LiteralString

from agentmem_store.models.context import AgentDetails, ContextRow
from agentmem_store.query import Query
from agentmem_store.statements import agents, blocks, memories, memory_recall, messages, search, tools
from agentmem_store.statements.block_links import ATTACHED_BLOCKS
from agentmem_store.statements.threads import ByThread, by_thread
from agentmem_store.statements.tool_links import ATTACHED_TOOLS
from agentmem_store.statements.visibility import LIVING_ORGANIZATION, LIVING_USER

# $2 the agent.
_BLOCKS: Final[LiteralString] = """(
           SELECT coalesce(json_agg(r ORDER BY r.label, r.id), '[]')
           FROM (
               SELECT """ + blocks.COLUMNS + """
               FROM agentmem.blocks AS m
               WHERE m.organization_id = $1 AND m.id = ANY (""" + ATTACHED_BLOCKS + """) AND m.deleted_at IS NULL
                 AND """ + LIVING_USER + """
           ) AS r
       ) AS blocks"""

_TOOLS: Final[LiteralString] = """(
           SELECT coalesce(json_agg(r ORDER BY r.name), '[]')
           FROM (
               SELECT """ + tools.COLUMNS + """
               FROM agentmem.tools AS t
               WHERE t.organization_id = $1 AND t.id = ANY (""" + ATTACHED_TOOLS + """) AND t.deleted_at IS NULL
           ) AS r
       ) AS tools"""

_FROM_AGENT: Final[LiteralString] = """
FROM agentmem.agents AS a
WHERE a.organization_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
  AND """ + LIVING_ORGANIZATION

DETAILS: Final = Query("agents.details", AgentDetails, """
SELECT """ + agents.COLUMNS + """,
       """ + _BLOCKS + """,
       """ + _TOOLS + _FROM_AGENT)

# What a message takes of the budget: what the caller said, else a token for every four bytes of its text and parts
# (about right for English, and for Chinese at three bytes a character), and four for its frame.
_TOKENS: Final[LiteralString] = """coalesce(
                          m.token_count,
                          4 + (coalesce(octet_length(m.text), 0) + coalesce(octet_length(m.content::text), 0)
                               + coalesce(octet_length(m.tool_calls::text), 0)
                               + coalesce(octet_length(m.tool_returns::text), 0) + 3) / 4
                      )"""

# What scores the memories. Parameters: see `assembling`.
WORDS: Final[LiteralString] = """
               WITH asked AS MATERIALIZED (
                   SELECT o.language,
                          ARRAY[agentmem.search_mark($2)] AS marks,
                          $7::text                        AS words,
                          $9::text[]                      AS phrases,
                          $10::text[]                     AS excluded,
                          $11::integer                    AS enough,
                          $8::bigint                      AS most
                   FROM agentmem.organizations AS o
                   WHERE o.id = $1 AND $7::text IS NOT NULL
               ),""" + search.terms("memories", "f.agent_id = $2") + "," + search.candidates(
                   "id", "agentmem.memories", "m.content", """NOT m.is_deleted
      AND (m.agent_id = $2 AND ($3::uuid IS NULL OR m.user_id IS NULL OR m.user_id = $3)) IS TRUE""") + "," + (
                   search.scored("id"))

FOUND: Final[LiteralString] = """
               SELECT """ + memories.COLUMNS + """,
                      """ + search.of_found("score") + """ AS rank
               FROM agentmem.memories AS m
               WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT f.id FROM found AS f))"""


def assembling(name: LiteralString, memories_found: LiteralString) -> ByThread[ContextRow]:
    """Return the statements that assemble a context.

    $2 the agent, $3 the user, $4 the group; $5 the budget in tokens, $6 messages at most, $7 the words or NULL,
    $8 memories at most, $9 phrases, $10 what is excluded, $11 how many candidates where frequencies are known. The
    newest messages as long as their sum is within the budget.

    Args:
        name: theirs.
        memories_found: the query for the memories, with their `rank`.
    """
    return by_thread(name, ContextRow, """
SELECT """ + agents.COLUMNS + """,
       """ + _BLOCKS + """,
       """ + _TOOLS + """,
       (
           SELECT coalesce(json_agg(r ORDER BY r.seq), '[]')
           FROM (
               SELECT """ + messages.COLUMNS + """
               FROM agentmem.messages AS m
               WHERE m.organization_id = $1
                 AND m.id = ANY (ARRAY(
                         SELECT fitting.id
                         FROM (
                             SELECT n.id, sum(n.tokens) OVER (ORDER BY n.seq DESC) AS total
                             FROM (
                                 SELECT m.id, m.seq, """ + _TOKENS + """ AS tokens
                                 FROM agentmem.messages AS m
                                 WHERE m.organization_id = $1 AND m.agent_id = $2 AND NOT m.is_deleted
                                   AND """, """
                                 ORDER BY m.seq DESC
                                 LIMIT $6
                             ) AS n
                         ) AS fitting
                         WHERE fitting.total <= $5::bigint
                     ))
           ) AS r
       ) AS messages,
       (
           SELECT coalesce(json_agg(r ORDER BY r.rank DESC, r.id), '[]')
           FROM (""" + memories_found + """
           ) AS r
       ) AS memories""" + _FROM_AGENT)


ASSEMBLE: Final = assembling("context.assemble", WORDS + "," + memory_recall.found("scored") + FOUND)
