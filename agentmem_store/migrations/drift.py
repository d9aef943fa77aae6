"""Files and ledger compared: what is applied, what is pending, what does not fit. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentmem_store import errors

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
        problems: what keeps `up` and `down` from running: the migration, what happened to it, and what to do.
    """

    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]
    problems: tuple[errors.Problem, ...]

    @property
    def at_head(self) -> bool:
        """Whether all that was asked for is applied, as the files say."""
        return not self.pending and not self.problems

    def verified(self) -> Status:
        """Return itself, or raise MigrationDrift with every problem."""
        if self.problems:
            raise errors.MigrationDrift("; ".join(map(str, self.problems)))
        return self


def compare(migrations: Sequence[Migration], applied: Sequence[Applied], tracks: Collection[str]) -> Status:
    """Compare all files with the whole ledger; pending are those of `tracks` only."""
    done = {(row.track, row.version) for row in applied}
    pending = (step for step in migrations if step.track in tracks and (step.track, step.version) not in done)
    return Status(tuple(applied), tuple(pending), tuple(_problems(migrations, applied)))


def _problems(migrations: Sequence[Migration], applied: Sequence[Applied]) -> Iterator[errors.Problem]:
    files = {(step.track, step.version): step for step in migrations}
    by_content = {(step.track, step.checksum): step for step in migrations}
    done = {(row.track, row.version) for row in applied}
    for row in applied:
        reason = _reason(row, files.get((row.track, row.version)), by_content.get((row.track, row.checksum)))
        if reason:
            yield errors.Problem(None, str(row), reason)
    for (track, version), step in files.items():
        if (track, version) not in done and (track, version + 1) in done:
            reason = "the ledger lost it, a later one is there; put its row in agentmem.schema_migrations back"
            yield errors.Problem(None, str(step), reason)


def _reason(row: Applied, here: Migration | None, there: Migration | None) -> str | None:
    """Tell what became of an applied migration, from what has its number now and what has its content."""
    if here and here.name == row.name:
        edited = "its up.sql was edited after it was applied; restore the file, and put the change into a new migration"
        return None if here.checksum == row.checksum else edited
    if here and here.checksum == row.checksum:
        return f"its folder was renamed to {here} after it was applied; give it its old name back"
    if there:
        return f"it was renumbered to {there} after it was applied; give it its old number back, and new ones the next"
    if here:
        return f"it was removed and {here} is in its place; restore it, and give that one the next free number"
    return "this code does not have it: the database is newer than the code; use the release that brought it"
