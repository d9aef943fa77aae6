"""Load: a file checked first, then stored in one transaction and read back before it commits."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio.to_thread

from agentmem_store.blocking import in_thread
from agentmem_store.errors import AgentMemError, ConfigurationError, Conflict, DatabaseError, NotFound
from agentmem_store.inputs import check_uuid
from agentmem_store.progress import Progress
from agentmem_store.repositories.search_terms import refresh_visible
from agentmem_store.search import refresh_stale
from agentmem_store.statements import transfer
from agentmem_store.transfer.files import DumpInvalid
from agentmem_store.transfer.format import Tally, row_line
from agentmem_store.transfer.reading import batches, check
from agentmem_store.transfer.tables import TABLES, stored_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from agentmem_store.scope import Root, Scope
    from agentmem_store.transfer.reading import Batch, Contents

__all__ = ["LoadReport", "NotAsDumped", "load"]

# SQLSTATE classes of what a row itself can do wrong: bad data, a broken constraint.
_REFUSALS: Final = {"22", "23"}
_REMOVE: Final = "remove them for good first, or load into another organization"


class NotAsDumped(AgentMemError):
    """What was stored does not read back as the file has it, so none of it was kept."""


class LoadReport(NamedTuple):
    """What was loaded.

    Attributes:
        organization_id: the organization that it is now, or that the agent belongs to now.
        agent_id: the agent; None when it was a whole organization.
        stored: how many rows of each table, in the order of the file.
        kept: how many more were there already, just as in the file.
    """

    organization_id: UUID
    agent_id: UUID | None
    stored: dict[str, int]
    kept: dict[str, int]


async def load(
    root: Root,
    path: str | os.PathLike[str],
    *,
    into: UUID | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> LoadReport:
    """Store what a file holds, just as it was dumped: ids, versions, places, times, counters, what is deleted.

    The file is read twice: first to see that it is whole and fits, before anything is sent; then to store it, in one
    transaction. In the end everything is read back, and commits only if it adds up to the sums in the file. Counts of
    words, which are made of the rows, are not in the file and are made anew.

    An organization must not be there yet. An agent must not be there either, but its organization must; the users,
    blocks (with their history) and tools that come with it may be there, and stay if they are just as in the file.

    Args:
        root: the database, or the connection of one; not within a transaction.
        path: a file that `dump` wrote.
        into: the id of another organization: for a whole one, under which to make a copy; for an agent, which takes it.
            None for the one it was dumped from.
        on_progress: called about every thousand rows, and in the end, with the work done and to do; a row counts once
            when it is stored and once when it is read back.

    Raises:
        DumpInvalid: the file is damaged, of another format or schema, or holds what the database refuses.
        Conflict: rows are there already: of a table that only one dump can bring, or other than in the file; or a name
            is taken. Names the table, and how many rows.
        NotFound: there is no such organization to take the agent.
        ConfigurationError: the database's schema is older than the file's; migrate it.
        NotAsDumped: what was stored does not read back as in the file.
        UsageError: the root is bound to a transaction: all or nothing needs one of its own.
    """
    file = Path(path)
    if into is not None:
        check_uuid(into, "into")
    contents = await anyio.to_thread.run_sync(partial(check, file), abandon_on_cancel=True)
    progress = Progress(on_progress, 2 * sum(held.rows for held in contents.sums.values()))
    # An isolation can be asked for only where no transaction is begun, which is what is meant.
    async with root.transaction(isolation="read_committed") as tx:
        scope = tx.tenant(into or contents.header.organization_id)
        await _begin(scope, contents)
        stored = await _store(scope, file, contents, progress)
        await _verify(scope, contents, stored, progress)
        await _rebuild(scope, contents.header.agent_id)
    progress.tell()
    kept = {table: held.rows - stored[table] for table, held in contents.sums.items()}
    return LoadReport(scope.organization_id, contents.header.agent_id, stored, kept)


async def _rebuild(scope: Scope, agent_id: UUID | None) -> None:
    """Make what `tables.DERIVED` holds."""
    if agent_id is None:
        await refresh_stale(scope)
    else:
        await refresh_visible(scope, agent_id)


async def _begin(scope: Scope, contents: Contents) -> None:
    header, begun = contents.header, await scope.fetch_one(transfer.BEGIN)
    if begun.schema_version < header.schema_version:
        raise ConfigurationError(
            f"the dump is of schema version {header.schema_version}, and this database of {begun.schema_version}: "
            "migrate the database first"
        )
    if header.agent_id is not None and begun.is_deleted is not False:
        raise NotFound(
            "organization", "there is no such organization to take the agent: load or create it, or say into"
        )


async def _store(scope: Scope, path: Path, contents: Contents, progress: Progress) -> dict[str, int]:
    """Store the rows of a file, and return how many of each table were not there yet."""
    stored = dict.fromkeys(contents.sums, 0)
    sent = dict(stored)
    with closing(batches(path)) as source:
        while batch := await in_thread(_next, source):
            stored[batch.table] += await _insert(scope, path, batch)
            sent[batch.table] += len(batch.rows)
            known = sent[batch.table] - stored[batch.table]
            if known and not TABLES[batch.table].shared and sent[batch.table] >= contents.sums[batch.table].rows:
                raise Conflict(
                    f"rows of {batch.table} that are there already: {known} of {sent[batch.table]}; {_REMOVE}"
                )
            progress.add(len(batch.rows))
    return stored


def _next(source: Iterator[Batch]) -> Batch | None:
    return next(source, None)


async def _insert(scope: Scope, path: Path, batch: Batch) -> int:
    lines = f"lines {batch.line} to {batch.line + len(batch.rows) - 1}"
    try:
        return await scope.fetch_one(TABLES[batch.table].store, batch.rows)
    except Conflict as error:
        reason = f"a row of {batch.table} ({lines} of the file) needs what another row has: {error.constraint}"
        raise Conflict(f"{reason}; rename or remove that row first", constraint=error.constraint) from error
    except DatabaseError as error:
        if (error.sqlstate or "")[:2] not in _REFUSALS:
            raise
        reason = f"the database refuses a row of {batch.table} ({lines}): {error}"
        raise DumpInvalid(path, batch.line, reason) from error


async def _verify(scope: Scope, contents: Contents, stored: dict[str, int], progress: Progress) -> None:
    """Read back what a dump of this would hold, and hold its sums against the file's."""
    agent_id = contents.header.agent_id
    tally = Tally(agent_id)
    async for table, row in stored_rows(scope, agent_id):
        tally.add(table, row_line(table, row))
        progress.add(1)
    for table, found in tally.sums().items():
        held = contents.sums[table]
        known = held.rows - stored[table]
        if found != held and known:
            raise Conflict(
                f"rows of {table} that are there already: {known} of {held.rows}, and not all of them as in the file; "
                + _REMOVE
            )
        if found != held:
            raise NotAsDumped(
                f"{table}: {found.rows} rows read back, {held.rows} in the file, and their sums differ: nothing was "
                "stored; was the file made by something other than a dump, or does the database change rows by itself?"
            )
