"""What is looked at before anything runs: what files declare against what they do, and indexes that are INVALID."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agentmem_store import errors
from agentmem_store.migrations import indexes, problems
from agentmem_store.migrations.files import place_of
from agentmem_store.migrations.splitter import split

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from agentmem_store.migrations.files import Script
    from agentmem_store.migrations.ledger import Connection
    from agentmem_store.migrations.splitter import Statement

__all__ = ["ONLY_ALONE", "check_files", "check_indexes", "needs_no_transaction"]

# PostgreSQL's manual says of each that it cannot run in a transaction block.
_ALONE: Final = re.compile(
    r"""
      CREATE\ (UNIQUE\ )?INDEX\ CONCURRENTLY\b
    | DROP\ INDEX\ CONCURRENTLY\b
    | REINDEX\b.*\bCONCURRENTLY\b
    | REINDEX\ ?(\(.*\)\ ?)?(SCHEMA|DATABASE|SYSTEM)\b
    | VACUUM\b
    | CLUSTER;?$
    | (CREATE|DROP)\ (DATABASE|TABLESPACE)\b
    | ALTER\ DATABASE\ .*\ SET\ TABLESPACE\b
    | ALTER\ SYSTEM\b
    | ALTER\ TABLE\ .*\ DETACH\ PARTITION\ .*\ CONCURRENTLY$
    """,
    re.VERBOSE | re.IGNORECASE,
)
# active_sql_transaction, invalid_transaction_termination: it cannot run in a transaction block, or it ends one itself.
ONLY_ALONE: Final = {"25001", "2D000"}
# The server would wait for rows that nobody sends, deaf to a cancel request too: measured, it hangs for ever.
_COPY_FROM_STDIN: Final = re.compile(r"COPY\b.*\bFROM STDIN\b", re.IGNORECASE)
_UNNAMED: Final = re.compile(r"CREATE (UNIQUE )?INDEX CONCURRENTLY ON\b", re.IGNORECASE)


def needs_no_transaction(statement: Statement) -> bool:
    """Tell whether a statement is known to be one that cannot run in a transaction."""
    return _ALONE.match(statement.code) is not None


def check_files(scripts: Sequence[Script]) -> None:
    """Hold what files declare against what they do.

    Raises:
        MigrationFilesInvalid: a statement cannot run in a transaction, and its file does not say so; an index that is
            built without one has no name by which a later run could find it; or COPY waits for rows from nowhere.
    """
    if findings := [finding for script in scripts for finding in _findings(script)]:
        raise errors.MigrationFilesInvalid("; ".join(findings))


async def check_indexes(connection: Connection, scripts: Sequence[Script], begun: Collection[str]) -> None:
    """Look whether an INVALID index is in the way of one to be created. IF NOT EXISTS would take it for the real one.

    Args:
        connection: to the database.
        scripts: what is about to run.
        begun: the statements that the ledger has as begun; what those left is cleared away by whoever resumes them.

    Raises:
        MigrationIndexInvalid: there is one.
    """
    for script in scripts:
        for statement in split(script.sql):
            if statement.digest not in begun and (index := await indexes.in_the_way(connection, statement.code)):
                place = ":".join(map(str, place_of(script.sql, statement.at)))
                said = f"{index} is there and INVALID: who built it was stopped; run DROP INDEX CONCURRENTLY {index}"
                raise problems.MigrationIndexInvalid(f"{script.path}:{place}: {said}, and then this again")


def _findings(script: Script) -> Iterator[str]:
    for statement in split(script.sql):
        place = f"{script.path}:{place_of(script.sql, statement.at)[0]}"
        words = " ".join(statement.code.split()[:3])
        if script.in_transaction and needs_no_transaction(statement):
            yield f"{place}: {words} cannot run in a transaction; declare `-- agentmem: no-transaction` in this file"
        elif _COPY_FROM_STDIN.match(statement.code):
            yield f"{place}: COPY FROM STDIN has no input here; use INSERT"
        elif _UNNAMED.match(statement.code):
            yield f"{place}: give the index a name, by which a later run finds it"
