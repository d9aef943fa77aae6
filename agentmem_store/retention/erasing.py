"""Erasing: removing all that is kept of a user, an agent or an organization, and proving that it is gone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from agentmem_store import errors
from agentmem_store.inputs import check_limit, check_uuid
from agentmem_store.retention.parents import AGENT, ORGANIZATION, USER
from agentmem_store.retention.removing import MOST_ROWS, Removal, table_of
from agentmem_store.statements import erasure, proof, stamping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentmem_store.models.retention import Forgotten, Mentions
    from agentmem_store.query import Query
    from agentmem_store.retention.parents import Parent
    from agentmem_store.scope import Root, Scope

__all__ = ["EraseReport", "erase_agent", "erase_organization", "erase_user"]

_FIRST: Final = UUID(int=0)

# Every table whose audit columns can name somebody, and where the walk over it begins.
_FORGET: Final[tuple[tuple[Query[Forgotten], tuple[Any, ...]], ...]] = (
    (erasure.FORGET_IN_ORGANIZATION, ()),
    (erasure.FORGET_IN_USERS, (_FIRST,)),
    (erasure.FORGET_IN_AGENTS, (_FIRST,)),
    (erasure.FORGET_IN_MESSAGES, (_FIRST,)),
    (erasure.FORGET_IN_BLOCKS, (_FIRST,)),
    (erasure.FORGET_IN_TOOLS, (_FIRST,)),
    (erasure.FORGET_IN_MEMORIES, (_FIRST,)),
    (erasure.FORGET_IN_BLOCKS_AGENTS, (_FIRST, _FIRST)),
    (erasure.FORGET_IN_TOOLS_AGENTS, (_FIRST, _FIRST)),
    (erasure.FORGET_IN_BLOCK_VALUES, (_FIRST, 0)),
)
_PROOF: Final = (
    proof.IN_ORGANIZATION,
    proof.IN_USERS,
    proof.IN_AGENTS,
    proof.IN_MESSAGE_COUNTERS,
    proof.IN_MESSAGES,
    proof.IN_BLOCKS,
    proof.IN_BLOCKS_AGENTS,
    proof.IN_BLOCK_VALUES,
    proof.IN_TOOLS,
    proof.IN_TOOLS_AGENTS,
    proof.IN_MEMORIES,
    proof.IN_TERM_FREQUENCIES,
)
_PLACE: Final = {"next_id", "next_part"}


@dataclass(frozen=True, slots=True)
class EraseReport:
    """What an erasure did, and the proof that it is complete.

    Attributes:
        removed: rows removed by this call, by table.
        cleared: references taken out of rows that stay, as ``table.column``.
        remaining: what was counted at the end, as ``table.column``, each of them 0.
    """

    removed: Mapping[str, int]
    cleared: Mapping[str, int]
    remaining: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Subject:
    """Who can be erased, and how.

    Attributes:
        entity: its singular, for errors.
        parent: how its rows are removed.
        hide: makes it deleted and stamped, so that nothing new can hang on it.
        forget_messages: takes its messages out of the in-context lists of agents.
        named_messages: counts those that a list still names.
        foreign: the column that says nothing about it, even if it holds the same id.
    """

    entity: str
    parent: Parent
    hide: Query[UUID]
    forget_messages: Query[Forgotten]
    named_messages: Query[Mentions]
    foreign: str

    def is_told_by(self, table: str, column: str) -> bool:
        """Whether a column can name it: `id` does in its own table."""
        return column != self.foreign and (column != "id" or table == table_of(self.hide))


_USER: Final = _Subject(
    "user", USER, stamping.HIDE_USER, erasure.FORGET_MESSAGES_OF_USER, proof.MESSAGES_OF_USER, "agent_id"
)
_AGENT: Final = _Subject(
    "agent", AGENT, stamping.HIDE_AGENT, erasure.FORGET_MESSAGES_OF_AGENT, proof.MESSAGES_OF_AGENT, "user_id"
)


async def erase_user(scope: Scope, user_id: UUID, *, batch_size: int = 1000) -> EraseReport:
    """Remove all that is kept of a user, alive or deleted, and prove by count that nothing is left.

    The user is hidden first. Its messages leave the in-context lists of agents and are removed, from shared
    conversations too, and so are its memories, its blocks with their links and history, and the user. Its id is then
    taken out of what stays: the audit columns of every table, and `sender_id`. That reads each row of the organization.
    What a text or metadata says about the user is not looked at.

    Of the agents that had its messages or memories the counts of words go with those, as the words were its own too;
    `search.refresh` counts what is left. A refresh that runs meanwhile may still count what goes: refresh once more.

    An id that is not stored as a user is erased from what stays all the same. Without a report the erasure is not
    complete: run it again. It waits for rows that other transactions hold.

    Args:
        batch_size: rows changed, and so locked, at a time, 1 to 10,000.

    Raises:
        Conflict: something names the user that was written meanwhile; `current` is the report. Have whoever acts for
            the user stop, and run it again.
    """
    return await _erase(scope, _USER, check_uuid(user_id, "user_id"), batch_size)


async def erase_agent(scope: Scope, agent_id: UUID, *, batch_size: int = 1000) -> EraseReport:
    """Remove all that is kept of an agent, alive or deleted, and prove by count that nothing is left.

    As `erase_user`: its messages, its memories, its links to blocks and tools, and the agent; and its id where it acted
    or sent a message. Blocks and tools stay, as other agents may share them.

    Args:
        batch_size: rows changed, and so locked, at a time, 1 to 10,000.

    Raises:
        Conflict: something names the agent that was written meanwhile; `current` is the report. Run it again.
    """
    return await _erase(scope, _AGENT, check_uuid(agent_id, "agent_id"), batch_size)


async def erase_organization(
    root: Root, organization_id: UUID, *, batch_size: int = 1000, actor_id: UUID | None = None
) -> EraseReport:
    """Remove an organization, alive or deleted, with all that it holds, and prove by count that nothing is left.

    It is hidden first, so that nothing new can be stored in it. Without a report the erasure is not complete: run it
    again. It waits for rows that other transactions hold.

    Args:
        root: the `Database`, or a transaction of it.
        batch_size: rows removed, and so locked, at a time, 1 to 10,000.
        actor_id: who erases; shown as who deleted it if the erasure stops half-way.

    Raises:
        Conflict: something is left; `current` is the report. Run it again.
    """
    scope = root.tenant(organization_id, actor_id=actor_id)
    removed: Counter[str] = Counter()
    removal = Removal(scope, _check_size(batch_size), waits=True, removed=removed)
    await scope.fetch_all(stamping.HIDE_ORGANIZATION, actor_id)
    await removal.remove(ORGANIZATION)
    rest = await scope.fetch_one(proof.ORGANIZATION_REST)
    return _proven("organization", EraseReport(dict(removed), {}, rest.model_dump()))


async def _erase(scope: Scope, subject: _Subject, subject_id: UUID, batch_size: int) -> EraseReport:
    removed: Counter[str] = Counter()
    removal = Removal(scope, _check_size(batch_size), waits=True, removed=removed)
    await scope.fetch_all(subject.hide, subject_id, scope.actor_id)
    # While the messages are there, it can be told which entries of a list name them.
    cleared = await _forget(scope, subject.forget_messages, subject_id, (_FIRST,), batch_size)
    named = await scope.fetch_one(subject.named_messages, subject_id)
    _proven(subject.entity, EraseReport({}, dict(cleared), _counts("agents", named)))
    await removal.remove(subject.parent, subject_id)
    for query, first in _FORGET:
        cleared += await _forget(scope, query, subject_id, first, batch_size)
    remaining = _counts("agents", named) | await _mentions(scope, subject, subject_id)
    return _proven(subject.entity, EraseReport(dict(removed), dict(cleared), remaining))


async def _forget(
    scope: Scope, query: Query[Forgotten], subject_id: UUID, first: tuple[Any, ...], batch_size: int
) -> Counter[str]:
    """Walk a table from its first key on, and return what was cleared."""
    cleared: Counter[str] = Counter()
    begin = first
    while True:
        batch = await scope.fetch_one(query, subject_id, batch_size, *begin)
        cleared.update(_counts(table_of(query), batch))
        if batch.next_id is None:
            return +cleared
        begin = (batch.next_id, batch.next_part)[: len(first)]


async def _mentions(scope: Scope, subject: _Subject, subject_id: UUID) -> dict[str, int]:
    remaining: dict[str, int] = {}
    for query in _PROOF:
        table = table_of(query)
        counts = _counts(table, await scope.fetch_one(query, subject_id))
        remaining |= {name: rows for name, rows in counts.items() if subject.is_told_by(*name.split("."))}
    return remaining


def _counts(table: str, mentions: Mentions) -> dict[str, int]:
    """Return the columns that were counted, as ``table.column``."""
    return {
        f"{table}.{column}": rows for column, rows in mentions.model_dump(exclude=_PLACE, exclude_none=True).items()
    }


def _proven(entity: str, report: EraseReport) -> EraseReport:
    """Return the report.

    Raises:
        Conflict: something is left.
    """
    left = [name for name, rows in report.remaining.items() if rows]
    if left:
        message = f"this {entity} is still named in {', '.join(left)}: stop what writes there, and erase it again"
        raise errors.Conflict(message, current=report)
    return report


def _check_size(batch_size: int) -> int:
    return check_limit(batch_size, "batch_size", most=MOST_ROWS)
