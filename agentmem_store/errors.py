"""Everything this library raises.

::

    AgentMemError                     every error below; `outcome` says what happened, `retryable` whether to try again
    ├── ValidationError               bad input, found before any I/O; `problems` names item, field and reason
    │   └── FileInvalid               … in a file, told by line
    ├── ConfigurationError            a setting, a DSN or an environment that cannot work
    ├── UsageError                    a call that cannot work here: finished transaction, other event loop, after fork
    │   └── PoolDeadlock              every connection is held by a task that waits for another one
    ├── NotFound                      no such row in this tenant, or it is deleted
    ├── Conflict                      the row changed, exists with other content, or its name is taken; `current`
    ├── MigrationError                migrations refuse, or one failed; more kinds in `migrations.problems`
    │   ├── MigrationFilesInvalid     the folders under sql/ are not a clean series
    │   ├── MigrationDrift            what was applied is not what the files say
    │   ├── MigrationFailed           the server refused a statement of a migration
    │   └── MigrationLocked           another process holds the migration lock
    ├── PoolError
    │   ├── PoolTimeout               no connection became free in time; `size`, `in_use`, `waiting`
    │   ├── PoolFull                  too many callers wait already; the same three
    │   └── PoolClosed                the pool is not open
    └── DatabaseError                 the server or the network said no; `sqlstate`, `constraint`, `query`
        ├── ConnectError              no connection could be made
        ├── ConnectionLost            the connection broke; `outcome` says what became of the statement
        │   └── CommitUnknown         … while committing: stored whole, or not at all
        ├── StatementTimeout          a deadline ended the statement
        ├── LockTimeout               a lock was not to be had
        ├── TransactionRolledBack     serialization failure or deadlock: run the whole transaction again
        ├── ReadOnly                  a write reached a read-only server or transaction
        ├── ConstraintViolation       a CHECK, NOT NULL or foreign key said no
        ├── InsufficientResources     too many connections, out of memory, disk full
        └── SchemaMissing             a table or function is not there: migrations are pending

No message and no attribute carries an argument's value, a row's value or a DSN: they end in logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self

import asyncpg

from agentmem_store.scrub import message_of, without_values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "DRIVER_ERRORS", "AgentMemError", "CommitUnknown", "ConfigurationError", "Conflict", "ConnectError",
    "ConnectionLost", "ConstraintViolation", "DatabaseError", "FileInvalid", "InsufficientResources", "LockTimeout",
    "MigrationDrift", "MigrationError", "MigrationFailed", "MigrationFilesInvalid", "MigrationLocked", "NotFound",
    "Outcome", "PoolClosed", "PoolDeadlock", "PoolError", "PoolFull", "PoolTimeout", "Problem", "ReadOnly",
    "SchemaMissing", "StatementTimeout", "TransactionRolledBack", "UsageError", "ValidationError", "from_driver",
]  # fmt: skip


Outcome = Literal["not_sent", "rolled_back", "unknown", "permanent"]


class AgentMemError(Exception):
    """The base of every error raised here.

    Attributes:
        outcome: what became of the statement or transaction, and so what may be done:
            ``not_sent``, nothing reached the server, repeat it; ``rolled_back``, nothing of it happened, run the whole
            transaction again; ``unknown``, it may have happened; ``permanent``, trying again cannot help.
        sqlstate: the server's five-character code, where the server spoke.
        constraint: the constraint that said no, where there is one.
        query: the name of the `Query` that ran, such as ``memories.search``.
    """

    outcome: Outcome = "permanent"
    sqlstate: str | None = None
    constraint: str | None = None
    query: str | None = None

    def __copy__(self) -> Self:
        twin = type(self).__new__(type(self), *self.args)  # not by __init__, which takes other things than `args`
        twin.__dict__.update(self.__dict__)
        return twin

    @property
    def retryable(self) -> bool:
        """Whether the same call, or the same whole transaction, may succeed when tried again without harm."""
        return self.outcome in {"not_sent", "rolled_back"}


class Problem(NamedTuple):
    """One thing wrong with an input: which item of a batch (None: the call itself), which field, and why."""

    item: int | None
    field: str
    reason: str

    def __str__(self) -> str:
        place = () if self.item is None else (f"item {self.item}",)
        return ": ".join(filter(None, (*place, self.field, self.reason)))


class ValidationError(AgentMemError):
    """Input that cannot be stored or asked for. Raised before any I/O; nothing of the batch was stored.

    Attributes:
        problems: what is wrong, in the order it was found; never a value.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))

    @classmethod
    def of(cls, field: str, reason: str, *, item: int | None = None) -> ValidationError:
        """Make the error of a single problem."""
        return cls([Problem(item, field, reason)])

    def at(self, item: int) -> ValidationError:
        """Return the same error, told of item number `item` (from 0) of a batch."""
        return ValidationError([problem._replace(item=item) for problem in self.problems])


class FileInvalid(ValidationError):
    """A file that cannot be read in; nothing of it was stored. The text is one line: file, line, and what is wrong.

    Attributes:
        path: the file.
        line: the number, from 1, of the line or of the first of several; None when it is the file as a whole.
    """

    _SHOWN = 3  # problems in the text; all of them are in `problems`

    def __init__(self, path: Path, line: int | None, problems: Sequence[Problem]) -> None:
        self.path, self.line = path, line
        super().__init__(problems)

    def __str__(self) -> str:
        place = str(self.path) if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {'; '.join(map(str, self.problems[: self._SHOWN]))}"


class ConfigurationError(AgentMemError):
    """A setting, a DSN or an environment that cannot work."""


class UsageError(AgentMemError):
    """A call that cannot work where it was made."""


class PoolDeadlock(UsageError):
    """Every connection of the pool is held by a task that waits for another one, so none would ever come back."""

    def __init__(self, held: int) -> None:
        super().__init__(
            f"this task holds a connection and waits for another, as do all who hold the pool's {held}: use the scope "
            "that `transaction()` yields for everything within its block, or raise max_size"
        )


class NotFound(AgentMemError):
    """No such row is visible in this tenant: it never was, belongs to another tenant, or is deleted.

    Attributes:
        entity: the table's singular, such as ``agent``.
    """

    def __init__(self, entity: str, message: str | None = None) -> None:
        self.entity = entity
        super().__init__(message or f"no such {entity}, or it is deleted")


class Conflict(AgentMemError):
    """The row is not as the caller thought: changed since, stored with other content, or its name is taken.

    Attributes:
        current: the row as it stands, where there is one to show.
    """

    def __init__(self, message: str, *, current: Any = None, constraint: str | None = None) -> None:
        self.current = current
        self.constraint = constraint
        super().__init__(message)


class MigrationError(AgentMemError):
    """Migrations refuse to run, or one failed."""


class MigrationFilesInvalid(MigrationError):
    """The migration folders are not a clean, contiguous series."""


class MigrationDrift(MigrationError):
    """What was applied to this database is not what the files say."""


class MigrationFailed(MigrationError):
    """The server refused a statement of a migration.

    Attributes:
        excerpt: the line of the file, and a caret under the place, where one can tell.
    """

    excerpt: str = ""


class MigrationLocked(MigrationError):
    """Another process held the migration lock for the whole wait."""

    outcome: Outcome = "not_sent"


class PoolError(AgentMemError):
    """The pool could not lend a connection."""


class PoolTimeout(PoolError):
    """No connection became free in time.

    Attributes:
        size: connections open.
        in_use: connections lent out.
        waiting: callers in the queue, this one included.
    """

    outcome: Outcome = "not_sent"

    def __init__(self, seconds: float, *, size: int, in_use: int, waiting: int) -> None:
        self.size, self.in_use, self.waiting = size, in_use, waiting
        super().__init__(
            f"no connection became free within {seconds:g} s (size {size}, in use {in_use}, waiting {waiting}): "
            "raise max_size, shorten transactions, or do not hold a connection while waiting for something else"
        )


class PoolFull(PoolError):
    """So many callers wait for a connection that another one is refused at once.

    Attributes:
        size: connections open.
        in_use: connections lent out.
        waiting: callers in the queue.
    """

    outcome: Outcome = "not_sent"

    def __init__(self, *, size: int, in_use: int, waiting: int) -> None:
        self.size, self.in_use, self.waiting = size, in_use, waiting
        super().__init__(
            f"{waiting} callers wait for a connection already (size {size}, in use {in_use}): send fewer at once, "
            "or raise max_size or max_waiting"
        )


class PoolClosed(PoolError):
    """The pool is not open: not yet, or not any more."""


class DatabaseError(AgentMemError):
    """The server or the network said no.

    The message holds the server's own words without its DETAIL line, which quotes row values.
    """

    def __init__(
        self, message: str, *, sqlstate: str | None = None, constraint: str | None = None, query: str | None = None
    ) -> None:
        self.sqlstate, self.constraint, self.query = sqlstate, constraint, query
        super().__init__(message)


class ConnectError(DatabaseError):
    """No connection could be made; nothing was sent."""

    outcome: Outcome = "not_sent"


class ConnectionLost(DatabaseError):
    """The connection broke. `outcome` says what became of the statement; within a transaction, it is rolled back."""

    outcome: Outcome = "unknown"


class CommitUnknown(ConnectionLost):
    """The connection broke while a transaction was being committed: it is stored whole, or not at all."""


class StatementTimeout(DatabaseError):
    """A deadline ended the statement. A write may have happened if the server was not reached to cancel it."""


class LockTimeout(DatabaseError):
    """A lock was not to be had in time; the statement did nothing."""

    outcome: Outcome = "rolled_back"


class TransactionRolledBack(DatabaseError):
    """A serialization failure or a deadlock: nothing of the transaction happened, run the whole of it again."""

    outcome: Outcome = "rolled_back"


class ReadOnly(DatabaseError):
    """A write reached a read-only server or transaction."""


class ConstraintViolation(DatabaseError):
    """A CHECK, NOT NULL or foreign key constraint said no; `constraint` names it."""


class SchemaMissing(DatabaseError):
    """A table, column or function of ours is not there: the migrations that this release needs are not all applied."""


class InsufficientResources(DatabaseError):
    """The server has too many connections, too little memory, or a full disk."""

    outcome: Outcome = "rolled_back"


# By SQLSTATE, five characters before two (its class). PostgreSQL manual, appendix A.
_BY_SQLSTATE: dict[str, type[DatabaseError]] = {
    "08": ConnectionLost,
    "23": ConstraintViolation,
    "25006": ReadOnly,
    "28": ConnectError,
    "3D000": ConnectError,
    "40": TransactionRolledBack,
    "3F000": SchemaMissing,
    "42703": SchemaMissing,
    "42883": SchemaMissing,
    "42P01": SchemaMissing,
    "53": InsufficientResources,
    "53300": ConnectError,
    "55P03": LockTimeout,
    "57014": StatementTimeout,
    "57P01": ConnectionLost,
    "57P02": ConnectionLost,
    "57P03": ConnectError,
    "57P05": ConnectionLost,
}

_UNIQUE_VIOLATION = "23505"

# All that the driver raises, and what passes through it. InternalClientError stands beside its tree: "cannot switch to
# state", when the connection was ended while idle.
DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    ValueError,
    TypeError,
)


def from_driver(error: BaseException, query: str | None = None) -> AgentMemError:
    """Map an error of the driver, the network or a deadline to the tree above.

    Args:
        error: what asyncpg, the socket or a timeout raised.
        query: the name of the query that ran.

    Returns:
        the error to raise ``from`` the given one, out of which everything that may quote a value was taken.
    """
    if isinstance(error, asyncpg.PostgresError):
        failure = _from_server(error, query)
        without_values(error)
        return failure
    if isinstance(error, TimeoutError):
        return StatementTimeout("the statement's deadline passed", query=query)
    if isinstance(error, OSError):
        return ConnectionLost(f"the network failed: {type(error).__name__}", query=query)
    if isinstance(error, ValueError | TypeError):
        # The driver's text quotes the value; the query is all that may be told.
        without_values(error)
        return DatabaseError("the driver could not encode an argument for this query", query=query)
    # InterfaceError and InternalClientError: the driver found the connection closed before it sent anything.
    lost = ConnectionLost(f"the connection was closed ({type(error).__name__})", query=query)
    lost.outcome = "not_sent"
    return lost


def _from_server(error: asyncpg.PostgresError, query: str | None) -> AgentMemError:
    state: str = error.sqlstate or ""
    said = message_of(error)
    constraint: str | None = getattr(error, "constraint_name", None)
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        # A migration changed a table under a prepared statement; the next attempt prepares it anew.
        return TransactionRolledBack(f"{said} ({state})", sqlstate=state, query=query)
    if state == _UNIQUE_VIOLATION:
        conflict = Conflict(f"already taken: {constraint or 'a unique key'}", constraint=constraint)
        conflict.sqlstate, conflict.query = state, query
        return conflict
    kind = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2]) or DatabaseError
    if kind is SchemaMissing and query:
        said += "; apply the migrations (agentmem-store migrate up; for embeddings also with --track vector)"
    return kind(f"{said} ({state})", sqlstate=state, constraint=constraint, query=query)
