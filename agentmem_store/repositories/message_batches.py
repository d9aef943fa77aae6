"""Many messages at once, of any number, from a list or a stream. Part of `messages`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final, overload

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
    Counts of words are not written: after some thousands of messages `search.refresh` keeps searches fast.

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
        return await _store_stream(scope, agent_id, new, mode)
    async with scope.transaction() as tx:
        return await _store(tx, agent_id, new, mode, 0)


async def _store_stream(scope: Scope, agent_id: UUID, new: AsyncIterable[NewMessage], mode: Mode) -> int:
    count = 0
    async with scope.transaction() as tx:
        async for batch in batches(new):
            count += len(await _store(tx, agent_id, batch, mode, count))
    return count


async def _store(scope: Scope, agent_id: UUID, new: Sequence[NewMessage], mode: Mode, first: int) -> list[Message]:
    """Store a batch whose first item has that place, a part at a time."""
    _check_ids(new, first)
    rows: list[Message] = []
    for start in range(0, len(new), _PART):
        part = new[start : start + _PART]
        stored = await append_rows(scope, agent_id, part, strict=mode == "strict", first=first + start)
        rows += await _rewrite(scope, part, stored) if mode == "upsert" else stored
    return rows


def _check_ids(new: Sequence[NewMessage], first: int) -> None:
    try:
        check_distinct([message.id for message in new])
    except errors.ValidationError as error:
        (problem,) = error.problems
        raise error.at(first + (problem.item or 0)) from None


async def _rewrite(scope: Scope, new: Sequence[NewMessage], stored: list[Message]) -> list[Message]:
    """Give the rows that differ from what was given the new content."""
    edits = [_edit(item, row) for item, row in zip(new, stored, strict=True) if not _is_same(item, row)]
    changed = {row.id: row for row in await update_rows(scope, _CHANGE, edits)}
    return [changed.get(row.id, row) for row in stored]


def _is_same(new: NewMessage, row: Message) -> bool:
    return _agree(new, row, _CHANGEABLE) and _is_same_otherwise(new, row)


def _is_same_otherwise(new: NewMessage, row: Message) -> bool:
    moved = new.created_at is not None and new.created_at != row.created_at
    return not moved and _agree(new, row, {*type(new).model_fields} - _CHANGEABLE - {"created_at"})


def _agree(new: NewMessage, row: Message, fields: set[str]) -> bool:
    return all(_canonical(getattr(new, field)) == _canonical(getattr(row, field)) for field in fields)


def _canonical(value: Any) -> Any:
    """Write JSON as text, because to Python True equals 1 and so {"a": 1} would equal {"a": true}."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def _edit(new: NewMessage, row: Message) -> Edit[MessageChanges]:
    if not _is_same_otherwise(new, row):
        raise errors.Conflict("who said this message, when and to whom cannot be changed", current=row)
    return Edit(row.id, MessageChanges(**{field: getattr(new, field) for field in _CHANGEABLE}))
