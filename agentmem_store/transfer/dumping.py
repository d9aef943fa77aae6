"""Dump: one snapshot of the database, streamed into a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio

from agentmem_store.errors import NotFound
from agentmem_store.inputs import check_uuid
from agentmem_store.progress import Progress
from agentmem_store.statements import transfer, transfer_agent
from agentmem_store.transfer.files import replacing
from agentmem_store.transfer.format import FORMAT, Header, Last, Tally, columns_of, line_of, row_line, sha256
from agentmem_store.transfer.tables import stored_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from uuid import UUID

    from agentmem_store.models.transfer import Beginning
    from agentmem_store.scope import Scope
    from agentmem_store.transfer.files import Writer

__all__ = ["DumpReport", "dump"]


class DumpReport(NamedTuple):
    """What was dumped.

    Attributes:
        organization_id: the organization, or the agent's.
        agent_id: the agent; None when it was the whole organization.
        schema_version: the newest migration of the core track.
        rows: how many of each table, in the order of the file.
        size: bytes of the file.
    """

    organization_id: UUID
    agent_id: UUID | None
    schema_version: int
    rows: dict[str, int]
    size: int


async def dump(
    scope: Scope,
    path: str | os.PathLike[str],
    *,
    agent_id: UUID | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> DumpReport:
    """Write an organization, or one agent of it, to a file, as it stood when the call began.

    All of it is read in one transaction, so others may write meanwhile: what they commit is left out as a whole. Rows
    that are deleted softly are dumped like the others, also those of a deleted organization or agent. An agent comes
    with its counter, messages, memories and links, the blocks linked to it with their history, the tools linked to it,
    and the users that any of these refer to.

    The file takes the place of one that is there, whole or not at all; it is readable for its owner alone.

    Args:
        scope: the organization, not bound to a transaction.
        path: where to write; compressed when it ends in ``.gz``.
        agent_id: the agent; None for the whole organization.
        on_progress: called about every thousand rows, and in the end, with the rows written and the rows to write; for
            an agent the second is an estimate.

    Raises:
        NotFound: there is no such organization or agent.
        OSError: the file cannot be written.
        UsageError: the scope is bound to a transaction: a snapshot begins with a transaction of its own.
    """
    target = Path(path)
    if agent_id is not None:
        check_uuid(agent_id, "agent_id")
    async with replacing(target) as writer, scope.transaction(isolation="repeatable_read", read_only=True) as tx:
        begun = await tx.fetch_one(transfer.BEGIN)
        if begun.is_deleted is None:
            raise NotFound("organization", "there is no such organization")
        progress = Progress(on_progress, await _count(tx, agent_id) if on_progress else 0)
        rows = await _write(tx, writer, _header(tx, begun, agent_id), progress)
    size = (await anyio.Path(target).stat()).st_size
    return DumpReport(scope.organization_id, agent_id, begun.schema_version, rows, size)


def _header(scope: Scope, begun: Beginning, agent_id: UUID | None) -> Header:
    return Header(
        dump_of="agentmem_store",
        format=FORMAT,
        schema_version=begun.schema_version,
        dumped_at=begun.began_at,
        organization_id=scope.organization_id,
        agent_id=agent_id,
        columns=columns_of(agent_id),
    )


async def _count(tx: Scope, agent_id: UUID | None) -> int:
    if agent_id is None:
        return await tx.fetch_one(transfer.COUNT)
    return await tx.fetch_one(transfer_agent.COUNT, agent_id)


async def _write(tx: Scope, writer: Writer, header: Header, progress: Progress) -> dict[str, int]:
    """Write the lines of a dump, first to last, and return how many rows of each table they hold."""
    tally, first = Tally(header.agent_id), line_of(header)
    await writer.write(first)
    async for table, row in stored_rows(tx, header.agent_id):
        line = row_line(table, row)
        tally.add(table, line)
        await writer.write(line)
        progress.add(1)
    sums = tally.sums()
    if header.agent_id is not None and not sums["agents"].rows:
        raise NotFound("agent", "there is no such agent in this organization")
    await writer.write(line_of(Last(header_sha256=sha256(first), tables=sums)))
    progress.tell()
    return {table: held.rows for table, held in sums.items()}
