"""INVALID indexes: what CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY leave when they do not come to their end.

No query uses such an index, every write pays for it, and IF NOT EXISTS takes it for the real one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agentmem_store.migrations.ledger import Connection

__all__ = ["drop_leftovers", "in_the_way"]

_NAME: Final = r'(?:"(?:[^"]|"")+"|[^\s"().,;]+)'
_QUALIFIED: Final = rf"{_NAME}(?: ?\. ?{_NAME})*"
_CREATE: Final = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?"
    rf"(?P<index>{_NAME}) ON (?:ONLY )?(?P<table>{_QUALIFIED})",
    re.IGNORECASE,
)
_REINDEX: Final = re.compile(
    rf"REINDEX ?(?:\(.*?\) ?)?(?P<kind>INDEX|TABLE) CONCURRENTLY (?P<name>{_QUALIFIED})", re.IGNORECASE
)
# An index lies in its table's schema. A partitioned one (relkind I) is INVALID by design until all parts are attached.
_INVALID: Final = """
SELECT i.indexrelid::regclass::text
  FROM pg_index AS i
  JOIN pg_class AS c ON c.oid = i.indexrelid
 WHERE i.indrelid = to_regclass($1)
   AND c.relname = (parse_ident($2))[1]
   AND c.relkind = 'i'
   AND NOT i.indisvalid
"""

# The names that the server gives to what it builds beside the old index, and to the old one once it is replaced.
_LEFT_BY_REINDEX: Final = r"""
SELECT i.indexrelid::regclass::text
  FROM pg_index AS i
  JOIN pg_class AS c ON c.oid = i.indexrelid
 WHERE i.indrelid = coalesce((SELECT o.indrelid FROM pg_index AS o WHERE o.indexrelid = to_regclass($1)),
                             to_regclass($1))
   AND c.relname ~ '_cc(new|old)\d*$'
   AND NOT i.indisvalid
"""


async def in_the_way(connection: Connection, code: str) -> str | None:
    """Return the INVALID index that has the name of the one a statement creates; None where there is none.

    Args:
        connection: where it is about to run.
        code: the statement's `code`, see `splitter.Statement`.
    """
    created = _CREATE.match(code)
    return created and await connection.fetchval(_INVALID, created["table"], created["index"])


async def drop_leftovers(connection: Connection, code: str) -> None:
    """Drop what an earlier run of this very statement left INVALID. Only for statements that are noted as begun."""
    if created := _CREATE.match(code):
        rows = await connection.fetch(_INVALID, created["table"], created["index"])
    elif rebuilt := _REINDEX.match(code):
        rows = await connection.fetch(_LEFT_BY_REINDEX, rebuilt["name"])
    else:
        rows = []
    for row in rows:
        await connection.execute(f"DROP INDEX CONCURRENTLY {row[0]}")
