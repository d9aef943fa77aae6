"""How rows that were chosen are removed for good: the second half of the statements in `retention`.

Of the rows in `chosen`, those go that no other transaction holds, so that nobody is waited for. Ids go from step to
step as arrays, which a generic plan looks up in the primary key however small the table was when it was made.

Where somebody's texts go, `REMOVE_…_AND_WORDS`, the counts of words of the agents that had them go in the same
statement: they are of those texts too, and the next refresh makes them anew. These are waited for.
"""

from __future__ import annotations

from typing import Final, LiteralString

COUNTS: Final[LiteralString] = """
SELECT (SELECT count(*) FROM chosen)  AS found,
       (SELECT count(*) FROM removed) AS removed
"""

_MESSAGES: Final[LiteralString] = """
),
free AS (
    SELECT m.id
    FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT c.id FROM chosen AS c))
    ORDER BY m.id
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.messages AS m
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT f.id FROM free AS f))
    RETURNING m.agent_id
)"""

_MEMORIES: Final[LiteralString] = """
),
free AS (
    SELECT m.id
    FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT c.id FROM chosen AS c))
    ORDER BY m.id
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.memories AS m
    WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT f.id FROM free AS f))
    RETURNING m.agent_id
)"""

# Locked in the order in which a refresh locks them.
_AND_WORDS: Final[LiteralString] = """,
known AS (
    SELECT f.agent_id
    FROM agentmem.term_frequencies AS f
    WHERE f.organization_id = $1 AND f.agent_id = ANY (ARRAY(SELECT DISTINCT r.agent_id FROM removed AS r))
    ORDER BY f.agent_id, f.source, f.lexeme
    FOR UPDATE
),
dropped AS (
    DELETE FROM agentmem.term_frequencies AS f
    WHERE f.organization_id = $1 AND f.agent_id = ANY (ARRAY(SELECT DISTINCT k.agent_id FROM known AS k))
    RETURNING f.agent_id
)
SELECT (SELECT count(*) FROM chosen)  AS found,
       (SELECT count(*) FROM removed) AS removed,
       (SELECT count(*) FROM dropped) AS term_frequencies
"""

REMOVE_MESSAGES: Final[LiteralString] = _MESSAGES + COUNTS
REMOVE_MEMORIES: Final[LiteralString] = _MEMORIES + COUNTS
REMOVE_MESSAGES_AND_WORDS: Final[LiteralString] = _MESSAGES + _AND_WORDS
REMOVE_MEMORIES_AND_WORDS: Final[LiteralString] = _MEMORIES + _AND_WORDS

REMOVE_MESSAGE_COUNTERS: Final[LiteralString] = """
),
free AS (
    SELECT n.agent_id
    FROM agentmem.message_counters AS n
    WHERE n.organization_id = $1 AND n.agent_id = ANY (ARRAY(SELECT c.agent_id FROM chosen AS c))
    ORDER BY n.agent_id
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.message_counters AS n
    WHERE n.organization_id = $1 AND n.agent_id = ANY (ARRAY(SELECT f.agent_id FROM free AS f))
    RETURNING n.agent_id
)""" + COUNTS

# Where a key has two parts, the arrays find candidates in the index, and the join picks the pairs.
REMOVE_BLOCKS_AGENTS: Final[LiteralString] = """
),
free AS (
    SELECT l.agent_id, l.block_id
    FROM agentmem.blocks_agents AS l
    JOIN chosen AS k ON k.agent_id = l.agent_id AND k.block_id = l.block_id
    WHERE l.organization_id = $1 AND l.agent_id = ANY (ARRAY(SELECT c.agent_id FROM chosen AS c))
    ORDER BY l.agent_id, l.block_id
    FOR UPDATE OF l SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.blocks_agents AS l
    USING free AS f
    WHERE l.organization_id = $1 AND l.agent_id = ANY (ARRAY(SELECT f.agent_id FROM free AS f))
      AND l.agent_id = f.agent_id AND l.block_id = f.block_id
    RETURNING l.agent_id
)""" + COUNTS

REMOVE_TOOLS_AGENTS: Final[LiteralString] = """
),
free AS (
    SELECT l.agent_id, l.tool_id
    FROM agentmem.tools_agents AS l
    JOIN chosen AS k ON k.agent_id = l.agent_id AND k.tool_id = l.tool_id
    WHERE l.organization_id = $1 AND l.agent_id = ANY (ARRAY(SELECT c.agent_id FROM chosen AS c))
    ORDER BY l.agent_id, l.tool_id
    FOR UPDATE OF l SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.tools_agents AS l
    USING free AS f
    WHERE l.organization_id = $1 AND l.agent_id = ANY (ARRAY(SELECT f.agent_id FROM free AS f))
      AND l.agent_id = f.agent_id AND l.tool_id = f.tool_id
    RETURNING l.agent_id
)""" + COUNTS

REMOVE_TERM_FREQUENCIES: Final[LiteralString] = """
),
free AS (
    SELECT f.source, f.lexeme, f.agent_id
    FROM agentmem.term_frequencies AS f
    JOIN chosen AS k ON k.source = f.source AND k.lexeme = f.lexeme AND k.agent_id = f.agent_id
    WHERE f.organization_id = $1
      AND f.agent_id = ANY (ARRAY(SELECT DISTINCT c.agent_id FROM chosen AS c))
    ORDER BY f.agent_id, f.source, f.lexeme
    FOR UPDATE OF f SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.term_frequencies AS f
    USING free AS g
    WHERE f.organization_id = $1
      AND f.agent_id = ANY (ARRAY(SELECT DISTINCT g.agent_id FROM free AS g))
      AND f.source = g.source AND f.lexeme = g.lexeme AND f.agent_id = g.agent_id
    RETURNING f.agent_id
)""" + COUNTS

# A block can have any number of values, so both parts are looked up.
REMOVE_BLOCK_VALUES: Final[LiteralString] = """
),
free AS (
    SELECT v.block_id, v.version
    FROM agentmem.block_values AS v
    JOIN chosen AS k ON k.block_id = v.block_id AND k.version = v.version
    WHERE v.organization_id = $1
      AND v.block_id = ANY (ARRAY(SELECT c.block_id FROM chosen AS c))
      AND v.version  = ANY (ARRAY(SELECT c.version  FROM chosen AS c))
    ORDER BY v.block_id, v.version
    FOR UPDATE OF v SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.block_values AS v
    USING free AS f
    WHERE v.organization_id = $1
      AND v.block_id = ANY (ARRAY(SELECT f.block_id FROM free AS f))
      AND v.version  = ANY (ARRAY(SELECT f.version  FROM free AS f))
      AND v.block_id = f.block_id AND v.version = f.version
    RETURNING v.block_id
)""" + COUNTS

REMOVE_BLOCKS: Final[LiteralString] = """
),
free AS (
    SELECT b.id
    FROM agentmem.blocks AS b
    WHERE b.organization_id = $1 AND b.id = ANY (ARRAY(SELECT c.id FROM chosen AS c))
    ORDER BY b.id
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.blocks AS b
    WHERE b.organization_id = $1 AND b.id = ANY (ARRAY(SELECT f.id FROM free AS f))
    RETURNING b.id
)""" + COUNTS

REMOVE_TOOLS: Final[LiteralString] = """
),
free AS (
    SELECT t.id
    FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.id = ANY (ARRAY(SELECT c.id FROM chosen AS c))
    ORDER BY t.id
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.tools AS t
    WHERE t.organization_id = $1 AND t.id = ANY (ARRAY(SELECT f.id FROM free AS f))
    RETURNING t.id
)""" + COUNTS

REMOVE_AGENTS: Final[LiteralString] = """
),
free AS (
    SELECT a.id
    FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = ANY (ARRAY(SELECT c.id FROM chosen AS c))
    ORDER BY a.id
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.agents AS a
    WHERE a.organization_id = $1 AND a.id = ANY (ARRAY(SELECT f.id FROM free AS f))
    RETURNING a.id
)""" + COUNTS

REMOVE_USERS: Final[LiteralString] = """
),
free AS (
    SELECT u.id
    FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.id = ANY (ARRAY(SELECT c.id FROM chosen AS c))
    ORDER BY u.id
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM agentmem.users AS u
    WHERE u.organization_id = $1 AND u.id = ANY (ARRAY(SELECT f.id FROM free AS f))
    RETURNING u.id
)""" + COUNTS
