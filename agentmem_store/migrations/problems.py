"""The kinds of migration errors. What to do about each one, at any hour: docs/migrations.md.

::

    errors.MigrationError
    ├── errors.MigrationFilesInvalid     the folders are not clean series
    ├── errors.MigrationDrift            what was applied is not what the files say
    │   ├── MigrationEdited              an applied up.sql has other content now
    │   ├── MigrationRenamed             its folder has another name
    │   ├── MigrationDeleted             its folder is gone
    │   ├── MigrationReordered           it changed places with others that were applied
    │   ├── MigrationInsertedBefore      a new one was put before it
    │   ├── MigrationPrefixChanged       of a file that runs statement by statement, the part that ran already
    │   ├── MigrationLedgerChanged       the ledger was changed by hand
    │   └── MigrationSchemaChanged       the tables were: `verify_live` found them other than the files make them
    ├── MigrationNewer                   the database is newer than this code
    ├── MigrationPending                 `require_head`: the database is older than this code
    ├── MigrationUnfinished              a file that runs statement by statement stopped half-way
    ├── MigrationIrreversible            its down.sql holds no statement
    ├── MigrationThroughPooler           a transaction pooler stands before the server
    ├── MigrationNoScratch               there is no scratch database to replay in
    ├── errors.MigrationFailed           the server refused a statement
    │   └── MigrationIndexInvalid        an INVALID index is in the way of one to be created
    └── errors.MigrationLocked           another process holds the migration lock
"""

from __future__ import annotations

from agentmem_store.errors import MigrationDrift, MigrationError, MigrationFailed

__all__ = [
    "MigrationDeleted",
    "MigrationEdited",
    "MigrationIndexInvalid",
    "MigrationInsertedBefore",
    "MigrationIrreversible",
    "MigrationLedgerChanged",
    "MigrationNewer",
    "MigrationNoScratch",
    "MigrationPending",
    "MigrationPrefixChanged",
    "MigrationRenamed",
    "MigrationReordered",
    "MigrationSchemaChanged",
    "MigrationThroughPooler",
    "MigrationUnfinished",
]


class MigrationEdited(MigrationDrift):
    """The up.sql of an applied migration has other content than the one that was applied."""


class MigrationRenamed(MigrationDrift):
    """The folder of an applied migration has another name."""


class MigrationDeleted(MigrationDrift):
    """The folder of an applied migration is gone, or another migration has its number."""


class MigrationReordered(MigrationDrift):
    """An applied migration has the number of another applied one."""


class MigrationInsertedBefore(MigrationDrift):
    """A new migration stands before an applied one, whose number it took."""


class MigrationPrefixChanged(MigrationDrift):
    """A file without a transaction was edited in the part that ran before it stopped."""


class MigrationLedgerChanged(MigrationDrift):
    """A row of the ledger was changed or removed by hand."""


class MigrationSchemaChanged(MigrationDrift):
    """The live schema is not what the applied migrations make.

    Attributes:
        differences: a line for each object.
    """

    differences: tuple[str, ...] = ()


class MigrationNewer(MigrationError):
    """The ledger goes on beyond the last file: a newer release migrated this database."""


class MigrationPending(MigrationError):
    """The database is not at head: migrations of this release are not applied to it."""


class MigrationUnfinished(MigrationError):
    """A file without a transaction stopped half-way and has to be finished first."""


class MigrationIrreversible(MigrationError):
    """A migration's down.sql holds no statement."""


class MigrationThroughPooler(MigrationError):
    """A pooler in transaction mode stands before the server, and would give the lock to somebody else's session."""


class MigrationNoScratch(MigrationError):
    """No scratch database can be made on this server, and there is no embedded one to take its place."""


class MigrationIndexInvalid(MigrationFailed):
    """An INVALID index has the name of one to be created; IF NOT EXISTS would take it for the real one."""
