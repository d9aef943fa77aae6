"""Many messages at once, of any number, from a list or a stream. Part of `messages`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Final, overload

from agentmem_store import errors
from agentmem_store.inputs import check_distinct
from agentmem_store.models.messages import MessageChanges
from agentmem_store.repositories.changing import Change, Edit, update_rows
from agentmem_store.repositories.creation import batches, check_mode
from agentmem_store.repositories.message_append import append_rows
from agentmem_store.statements import messages as statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from agentmem_store.models.messages import Message, NewMessage
    from agentmem_store.repositories.creation import Mode
    from agentmem_store.scope import Scope

__all__ = ["create_many"]

_CHANGE: Final = Change("message", statements.UPDATE, statements.GET)
_CHANGEABLE: Final = set(MessageChanges.model_fields)
# Rows of one statement.
_PART: Final = 1_000


@overload
async def create_many(
    scope: Scope, agent_id: UUID, new: Sequence[NewMessage], *, mode: Mode = "strict"
) -> list[Message]: ...
@overload
async def create_many(
    scope: Scope, agent_id: UUID, new: AsyncIterable[NewMessage], *, mode: Mode = "strict"
) -> int: ...
async def create_many(
    scope: Scope, agent_id: UUID, new: Sequence[NewMessage] | AsyncIterable[NewMessage], *, mode: Mode = "strict"
) -> list[Message] | int:
    """Append any number of messages to an agent's conversation, all or none, in one transaction.

    The agent's counter is locked from the first part to the commit: other appends to the same agent wait.

    Args:
        agent_id: whose conversation.
        new: a sequence; or an async iterator, of which no more than 10,000 are held at a time.
        mode: what becomes of an id that is stored already: `strict`, the same content comes back, other content is a
            conflict; `skip`, it comes back as it stands; `upsert`, it takes the new content where that can be changed.

    Returns:
        of a sequence, one row per input, in input order; of an iterator, the number of its items.

    Raises:
        NotFound: the agent, or the user of a message, is not visible in this organization.
        Conflict: an id is stored with other content, or in `upsert` differs in what cannot be changed.
        ValidationError: an id is given twice within what is held at a time, or there is no such mode.
    """
    check_mode(mode)
    if isinstance(new, AsyncIterable):
        async with scope.transaction() as tx:
            return sum([len(await _store(tx, agent_id, batch, mode)) async for batch in batches(new)])
    check_distinct([message.id for message in new])
    async with scope.transaction() as tx:
        return await _store(tx, agent_id, new, mode)


async def _store(scope: Scope, agent_id: UUID, new: Sequence[NewMessage], mode: Mode) -> list[Message]:
    rows: list[Message] = []
    for start in range(0, len(new), _PART):
        part = new[start : start + _PART]
        stored = await append_rows(scope, agent_id, part, strict=mode == "strict")
        rows += await _rewrite(scope, part, stored) if mode == "upsert" else stored
    return rows


async def _rewrite(scope: Scope, new: Sequence[NewMessage], stored: list[Message]) -> list[Message]:
    """Give the rows that differ from what was given the new content."""
    edits = [_edit(item, row) for item, row in zip(new, stored, strict=True) if not _is_same(item, row)]
    changed = {row.id: row for row in await update_rows(scope, _CHANGE, edits)}
    return [changed.get(row.id, row) for row in stored]


def _is_same(new: NewMessage, row: Message) -> bool:
    return all(getattr(new, field) == getattr(row, field) for field in _CHANGEABLE) and _is_same_otherwise(new, row)


def _is_same_otherwise(new: NewMessage, row: Message) -> bool:
    fixed = {*type(new).model_fields} - _CHANGEABLE - {"created_at"}
    moved = new.created_at is not None and new.created_at != row.created_at
    return not moved and all(getattr(new, field) == getattr(row, field) for field in fixed)


def _edit(new: NewMessage, row: Message) -> Edit[MessageChanges]:
    if not _is_same_otherwise(new, row):
        raise errors.Conflict("who said this message, when and to whom cannot be changed", current=row)
    return Edit(row.id, MessageChanges(**{field: getattr(new, field) for field in _CHANGEABLE}))
