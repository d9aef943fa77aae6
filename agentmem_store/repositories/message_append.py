"""Appending messages to an agent's conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID  # noqa: TC003 - a field of a NamedTuple

from agentmem_store import errors
from agentmem_store.executor import LEFT_OUT, Kind
from agentmem_store.inputs import check_distinct, check_uuid, json_or_none, json_text
from agentmem_store.statements import message_append as statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentmem_store.models.messages import Message, NewMessage
    from agentmem_store.scope import Scope

__all__ = ["append", "append_rows", "create"]

# Messages of one call that may share a statement with others; more are a batch of their own.
_SHARED_MOST = 50


async def create(scope: Scope, agent_id: UUID, new: NewMessage) -> Message:
    """Append one message. See `append`."""
    return (await append(scope, agent_id, [new]))[0]


async def append(scope: Scope, agent_id: UUID, new: Sequence[NewMessage]) -> list[Message]:
    """Append messages to an agent's conversation, all or none, in one statement.

    They get the next places (`seq`) in the order given. Appends to one agent wait for each other, so the order of
    places is the order of commits. Sending the same again returns the stored rows.

    Args:
        agent_id: whose conversation.
        new: any number of messages; none at all is no statement.

    Returns:
        one row per input, in input order.

    Raises:
        NotFound: the agent, or the user of a message, is not visible in this organization.
        Conflict: an id is stored with other content; in a transaction also, with `retryable`, when another writer was
            storing the same id at the same moment.
        ValidationError: an id is given twice.
    """
    check_distinct([message.id for message in new])
    if scope.coalescer is None or not 0 < len(new) <= _SHARED_MOST:
        return await append_rows(scope, agent_id, new, strict=True)
    check_uuid(agent_id, "agent_id")
    append = _Append(scope, agent_id, new, [(agent_id, *_columns(message)) for message in new])
    return await scope.coalescer.call((statements.APPEND_MANY.name, scope.organization_id), _Appending, append)


async def append_rows(
    scope: Scope, agent_id: UUID, new: Sequence[NewMessage], *, strict: bool, first: int | None = None
) -> list[Message]:
    """Append as `append` does, messages whose ids are known to differ.

    Args:
        strict: whether an id that is stored with other content is a conflict; else it comes back as it stands.
        first: the place of the first message in a larger batch, for errors that name items.
    """
    check_uuid(agent_id, "agent_id")
    if not new:
        return []
    arrays = [list(column) for column in zip(*map(_columns, new), strict=True)]
    rows = {row.id: row for row in await _append(scope, (agent_id, *arrays, strict, scope.actor_id))}
    rest = [message.id for message in new if message.id not in rows]
    if rest:
        await _refuse(scope, (agent_id, *arrays, strict), arrays[0], first)
        rows.update((row.id, row) for row in await scope.fetch_all(statements.STORED, rest))
    return [rows[message.id] for message in new]


class _Append(NamedTuple):
    """One call: its messages, and their columns as they were when it was made."""

    scope: Scope
    agent_id: UUID
    new: Sequence[NewMessage]
    columns: list[tuple[Any, ...]]


class _Appending(Kind[_Append, "list[Message]"]):
    """Appends to several agents of a tenant share a statement; those to one agent keep their order."""

    query = statements.APPEND_MANY

    def arguments(self, items: Sequence[_Append]) -> tuple[Any, ...]:
        rows = [(*row, call, item.scope.actor_id) for call, item in enumerate(items) for row in item.columns]
        agents = list({item.agent_id for item in items})
        return items[0].scope.organization_id, *map(list, zip(*rows, strict=True)), agents

    def answers(self, items: Sequence[_Append], records: Sequence[Any]) -> Iterable[list[Message]]:
        rows = {record["id"]: self.query.decode(record) for record in records}
        for item in items:
            yield [rows[id_] for id_ in self.ids(item)] if rows.keys() >= set(self.ids(item)) else LEFT_OUT

    async def alone(self, item: _Append) -> list[Message]:
        return await append_rows(item.scope, item.agent_id, item.new, strict=True)

    def ids(self, item: _Append) -> Sequence[UUID]:
        return [message.id for message in item.new]

    def lane(self, item: _Append) -> UUID:
        return item.agent_id


def _columns(new: NewMessage) -> tuple[Any, ...]:
    return (
        new.id,
        new.role,
        new.text,
        json_or_none(new.content),
        new.name,
        new.user_id,
        new.group_id,
        new.model,
        json_or_none(new.tool_calls),
        new.tool_call_id,
        json_or_none(new.tool_returns),
        new.step_id,
        new.otid,
        new.sender_id,
        json_text(new.metadata),
        new.created_at,
        new.token_count,
    )


async def _append(scope: Scope, args: tuple[Any, ...]) -> list[Message]:
    try:
        return await scope.fetch_all(statements.APPEND, *args)
    except errors.Conflict as raced:
        # A copy with the same id was committed between our look and our insert. Nothing of ours is stored; the next
        # look finds it. A transaction is lost by the error, and only its owner can run it again.
        if scope.in_transaction:
            raced.outcome = "rolled_back"
            raise
    return await scope.fetch_all(statements.APPEND, *args)


async def _refuse(scope: Scope, args: tuple[Any, ...], ids: list[UUID], place_of_first: int | None) -> None:
    found = sorted(await scope.fetch_all(statements.APPEND_REFUSALS, *args), key=lambda r: r.place)
    if not found:
        return
    first = found[0]
    of_many = len(ids) > 1 or place_of_first is not None
    named = of_many and first.missing in {None, "user"}
    item = f"item {(place_of_first or 0) + first.place - 1}: " if named else ""
    if first.missing:
        raise errors.NotFound(first.missing, f"{item}no such {first.missing}, or it is deleted")
    stored = await scope.fetch_optional(statements.STORED, [ids[first.place - 1]])
    raise errors.Conflict(f"{item}this message is stored with other content", current=stored)
