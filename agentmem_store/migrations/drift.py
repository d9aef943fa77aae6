"""Files and ledger compared: what is applied, what is pending, what does not fit. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentmem_store import errors
from agentmem_store.migrations import problems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from agentmem_store.migrations.files import Migration
    from agentmem_store.migrations.ledger import Applied

__all__ = ["Status", "compare"]


@dataclass(frozen=True, slots=True)
class Status:
    """How a database stands to the files.

    Attributes:
        applied: the whole ledger, by track (core first, the others by name), then by number.
        pending: what `up` would apply, in its order.
        problems: what keeps `up` and `down` from running, each with what to do about it.
    """

    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]
    problems: tuple[errors.MigrationError, ...]

    @property
    def at_head(self) -> bool:
        """Whether all that was asked for is applied, as the files say."""
        return not self.pending and not self.problems

    def verified(self) -> Status:
        """Return itself, or raise the first problem's class with what all of them say."""
        if self.problems:
            raise type(self.problems[0])("; ".join(map(str, self.problems))) from None
        return self


def compare(migrations: Sequence[Migration], applied: Sequence[Applied], tracks: Collection[str]) -> Status:
    """Compare all files with the whole ledger; pending are those of `tracks` only, unfinished ones first of all."""
    done = {(row.track, row.version) for row in applied if not row.unfinished}
    pending = (step for step in migrations if step.track in tracks and (step.track, step.version) not in done)
    names = dict.fromkeys(step.track for step in (*migrations, *applied))
    found = (problem for name in names for problem in _Track(migrations, applied, name).problems())
    return Status(tuple(applied), tuple(pending), tuple(found))


class _Track:
    """The files and the rows of one track."""

    def __init__(self, migrations: Sequence[Migration], applied: Sequence[Applied], track: str) -> None:
        self.name = track
        self.files = {step.version: step for step in migrations if step.track == track}
        self.rows = {row.version: row for row in applied if row.track == track}
        self.moved = {step.checksum: step for step in self.files.values()}

    def problems(self) -> Iterator[errors.MigrationError]:
        chain = ""
        for version in range(1, max((*self.files, *self.rows)) + 1):
            row, step = self.rows.get(version), self.files.get(version)
            if row is None:
                yield from self._not_applied(version, step)
                continue
            chain = row.chained(chain)
            same = step and row.name == step.name and (row.unfinished or row.checksum == step.checksum)
            if not (step and same):  # the rest of an unfinished one may be mended
                yield self._not_as_applied(row, step, self.moved.get(row.checksum))
            elif row.unfinished and (step.up if row.unfinished == "up" else step.down).in_transaction:
                said = f"its {row.unfinished}.sql stopped half-way; put its `-- agentmem: no-transaction` back"
                yield problems.MigrationPrefixChanged(f"{row}: {said}")
            elif row.chain != chain and not row.unfinished:
                said = "its row does not follow from those before it; `repair` it, if that was no accident"
                yield problems.MigrationLedgerChanged(f"{row}: the ledger was changed by hand: {said}")

    def _not_applied(self, version: int, step: Migration | None) -> Iterator[errors.MigrationError]:
        if step is None and version < max(self.files, default=0):
            said = "is missing; numbers run from 0001 without gaps"
            yield errors.MigrationFilesInvalid(f"{self.name}/{version:04d}: {said}")
        elif step and version < max(self.rows, default=0):
            said = f"`repair {step}` puts its row back, if its tables are there"
            yield problems.MigrationLedgerChanged(f"{step}: the ledger lost it, a later one is there; {said}")

    def _inserted_before(self, step: Migration) -> Migration | None:
        """Return the first that was not applied and stands before an applied one, if nothing else was moved."""
        places = [self.moved[row.checksum].version for row in self.rows.values() if row.checksum in self.moved]
        applied = {row.checksum for row in self.rows.values()}
        new = (other for other in self.files.values() if other.checksum not in applied and other.version < step.version)
        return next(new, None) if places == sorted(places) else None

    def _not_as_applied(self, row: Applied, here: Migration | None, there: Migration | None) -> errors.MigrationError:
        """Tell what became of an applied migration, from what has its number now and what has its content."""
        if here and here.name == row.name:
            said = "its up.sql was edited after it was applied; restore it, and put the change into a new migration"
            return problems.MigrationEdited(f"{row}: {said}")
        if here and here.checksum == row.checksum:
            said = f"its folder was renamed to {here} after it was applied; give it its old name back"
            return problems.MigrationRenamed(f"{row}: {said}")
        if here and there and (inserted := self._inserted_before(there)):
            said = f"{inserted} was inserted before it; give that one the next free number, and this one its own back"
            return problems.MigrationInsertedBefore(f"{row}: {said}")
        if here and there:
            said = f"it is {there} now, in another order than they were applied in; give all their old numbers back"
            return problems.MigrationReordered(f"{row}: {said}")
        if here:
            said = f"its folder was removed and {here} has its number; restore it, and give that one the next free one"
            return problems.MigrationDeleted(f"{row}: {said}")
        if any(version > row.version for version in self.files) or there:
            return problems.MigrationDeleted(f"{row}: its folder was removed after it was applied; restore it")
        said = "the database is newer than the code: this code does not have it; use the release that brought it"
        return problems.MigrationNewer(f"{row}: {said}")
