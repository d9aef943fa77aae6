"""Purging: removing for good what was deleted, or has expired, long enough ago."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from agentmem_store import errors
from agentmem_store.inputs import check_limit
from agentmem_store.retention.parents import AGENT, BLOCK, ORGANIZATION, TOOL, USER
from agentmem_store.retention.removing import MOST_ROWS, Removal
from agentmem_store.statements import retention as statements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agentmem_store.retention.parents import Parent
    from agentmem_store.scope import Root, Scope

__all__ = ["PurgeReport", "purge", "purge_organizations"]

_LONGEST: Final = timedelta(days=365_000)


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What a purge removed.

    Attributes:
        removed: rows by table; a table of which nothing was removed is left out.
    """

    removed: Mapping[str, int] = field(default_factory=dict[str, int])


class _Tally:
    """The rows removed so far, told to whoever watches."""

    def __init__(self, on_progress: Callable[[PurgeReport], None] | None) -> None:
        self.removed: Counter[str] = Counter()
        self._on_progress = on_progress

    def report(self) -> PurgeReport:
        return PurgeReport(dict(self.removed))

    def tell(self) -> None:
        if self._on_progress:
            self._on_progress(self.report())

    def removal(self, scope: Scope, batch_size: int) -> Removal:
        return Removal(scope, batch_size, waits=False, removed=self.removed, on_batch=self.tell)


async def purge(
    scope: Scope,
    older_than: timedelta | datetime,
    *,
    batch_size: int = 1000,
    on_progress: Callable[[PurgeReport], None] | None = None,
) -> PurgeReport:
    """Remove for good what was deleted, or has expired, long enough ago in one organization.

    A user, agent, block or tool is stamped first: from then on it cannot be restored, and what hangs on it, deleted or
    not, goes batch by batch before it does. With a user go its memories, its blocks and the messages exchanged with it.
    The in-context list of an agent that stays may go on naming messages that are gone.
    Nobody is waited for: rows that other transactions hold are left to the next purge, with what they hang on.

    Args:
        older_than: how long ago it was deleted or expired at least; or the moment by which it was.
        batch_size: rows removed, and so locked, at a time, 1 to 10,000.
        on_progress: called after each batch with what has been removed so far.

    Raises:
        ValidationError: the age is negative or beyond a thousand years, or the moment has no time zone.
    """
    moment = _moment(older_than)
    tally = _Tally(on_progress)
    removal = tally.removal(scope, check_limit(batch_size, "batch_size", most=MOST_ROWS))
    for query in (statements.EXPIRED_MEMORIES, statements.DELETED_MEMORIES, statements.DELETED_MESSAGES):
        await removal.drain(query, moment)
    for parent in (USER, AGENT, BLOCK, TOOL):
        await _purge_parents(scope, removal, parent, moment, batch_size)
    return tally.report()


async def purge_organizations(
    root: Root,
    older_than: timedelta | datetime,
    *,
    batch_size: int = 1000,
    on_progress: Callable[[PurgeReport], None] | None = None,
) -> PurgeReport:
    """Remove for good the organizations that were deleted long enough ago, with all that they hold.

    Args:
        root: the `Database`, or a transaction of it.
        older_than: how long ago an organization was deleted at least; or the moment by which it was.
        batch_size: rows removed, and so locked, at a time, 1 to 10,000.
        on_progress: called after each batch with what has been removed so far.

    Raises:
        ValidationError: the age is negative or beyond a thousand years, or the moment has no time zone.
    """
    moment = _moment(older_than)
    check_limit(batch_size, "batch_size", most=MOST_ROWS)
    tally = _Tally(on_progress)
    is_moving = True
    while is_moving:
        due = await root.fetch_all(ORGANIZATION.due, moment, batch_size)
        removals = [tally.removal(root.tenant(organization_id), batch_size) for organization_id in due]
        is_moving = any([await removal.remove(ORGANIZATION) for removal in removals])
    return tally.report()


async def _purge_parents(scope: Scope, removal: Removal, parent: Parent, moment: datetime, batch_size: int) -> None:
    """Remove those that are due, in rounds, until a round finds none, or only such as others hold."""
    is_moving = True
    while is_moving:
        due = await scope.fetch_all(parent.due, moment, batch_size)
        is_moving = any([await removal.remove(parent, row_id) for row_id in due])


def _moment(older_than: object) -> datetime:
    """Return the moment that is meant, by this machine's clock."""
    if isinstance(older_than, timedelta):
        if not timedelta(0) <= older_than <= _LONGEST:
            raise errors.ValidationError.of("older_than", "must be from 0 to 365,000 days")
        return datetime.now(UTC) - older_than
    if not isinstance(older_than, datetime) or older_than.utcoffset() is None:
        raise errors.ValidationError.of("older_than", "must be a timedelta, or a datetime with a time zone")
    return older_than
