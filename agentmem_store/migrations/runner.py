"""Apply and take back: a connection of its own, one lock, one transaction per migration."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager, contextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import asyncpg
import structlog
import tenacity

from agentmem_store import connect, errors
from agentmem_store.config import RetryConfig
from agentmem_store.migrations import files, ledger, problems

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from agentmem_store.migrations.files import Migration, Script
    from agentmem_store.migrations.ledger import Applied, Connection

__all__ = ["PATIENCE", "SETTLE", "apply", "begin", "connection", "kindly", "locked", "take_back", "telling"]

Result = TypeVar("Result")

# How often a file that waited too long for a table's lock, or met a deadlock, is begun again.
# Constructed, not checked: importing this would build the validator.
PATIENCE: Final = RetryConfig.model_construct(retries=9, base_ms=500, max_ms=30_000, factor=2.0, deadline_s=600)
_BUSY: Final = {"55P03", "40P01"}
# Not `errors.DRIVER_ERRORS`: no values are sent here, and a ValueError is a caller's own, raised by what it had called.
DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_NOT_IN_A_TRANSACTION: Final = "25001"
_log: Final[Any] = structlog.get_logger("agentmem_store")
_LOCK_TIMEOUT_MS: Final = 2_000
_STATEMENT_TIMEOUT_MS: Final = 3_600_000
_CLEANUP_S: Final = 5

# "agem" and "migr" as integers; the same in every release, so that old and new ones exclude each other.
_LOCK: Final = (0x6167656D, 0x6D696772)
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock($1, $2)"
_HOLDER: Final = """
SELECT concat_ws(', ', format('pid %s (%s)', held.pid, coalesce(nullif(process.application_name, ''), 'unnamed')),
                       'connected for ' || round(extract(epoch FROM clock_timestamp() - process.backend_start)) || ' s')
  FROM pg_locks AS held
  LEFT JOIN pg_stat_activity AS process ON process.pid = held.pid
 WHERE held.locktype = 'advisory'
   AND held.granted
   AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (held.classid, held.objid, held.objsubid) = ($1, $2, 2)
"""

# What a file SET must reach neither the ledger nor the next file. And a server's process whose client was killed would
# go on with its statement, and keep the lock until that ends: it looks every second whether somebody is still there.
SETTLE: Final = """
RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;
SET standard_conforming_strings = on; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;
DO $$
BEGIN
    PERFORM set_config('client_connection_check_interval', '1000', false);
EXCEPTION
    WHEN invalid_parameter_value THEN NULL;  -- a server on Windows cannot
END
$$
"""


@asynccontextmanager
async def connection(dsn: str) -> AsyncGenerator[Connection]:
    """Open a connection of its own, closed afterwards whatever happened; errors of the driver become ours."""
    async with connect.serving(dsn) as served:
        connection = await connect.connect(served, application_name="agentmem_store migrations")
        try:
            yield connection
        except DRIVER_ERRORS as error:
            raise errors.from_driver(error) from error
        finally:
            with anyio.move_on_after(_CLEANUP_S, shield=True), suppress(*DRIVER_ERRORS):
                await connection.close()


@asynccontextmanager
async def locked(connection: Connection, wait_s: float) -> AsyncGenerator[None]:
    """Hold the migration lock; in the end, roll back what failed or was cancelled, and release it.

    It is polled: who waits for it inside the server holds a snapshot, and CREATE INDEX CONCURRENTLY waits for that.

    Raises:
        MigrationThroughPooler: a pooler would give the lock to a session that others use, too.
        MigrationLocked: another process held it for `wait_s` seconds.
    """
    if await connect.behind_pooler(connection):
        said = "a transaction pooler stands before the server and would lose the migration lock"
        raise problems.MigrationThroughPooler(f"{said}; name the server itself: migration_dsn, AGENTMEM_MIGRATION_DSN")
    deadline, pause = anyio.current_time() + wait_s, 0.1
    try:
        while not await connection.fetchval(_TRY_LOCK, *_LOCK):
            left = deadline - anyio.current_time()
            if left <= 0:
                holder = await connection.fetchval(_HOLDER, *_LOCK) or "it has just left"
                raise errors.MigrationLocked(
                    f"the migration lock was not free within {wait_s:g} s: {holder}; run this again when it is done"
                )
            await anyio.sleep(min(left, pause * random.uniform(0.5, 1)))  # noqa: S311 - it keeps no secret
            pause = min(2 * pause, 1)
        await connection.execute(SETTLE)
        yield
    finally:
        with anyio.move_on_after(_CLEANUP_S, shield=True), suppress(*DRIVER_ERRORS):
            await connection.execute("ROLLBACK; SELECT pg_advisory_unlock_all()")


async def apply(connection: Connection, step: Migration, retry: RetryConfig = PATIENCE) -> Applied:
    """Run up.sql and note the step, in one transaction unless the file says no-transaction. Only under the lock."""
    if not step.up.in_transaction:
        from agentmem_store.migrations import stepwise

        return await stepwise.apply(connection, step, retry)
    return await _in_transaction(connection, step.up, retry, lambda ms: ledger.put(connection, step, ms))


async def take_back(connection: Connection, step: Migration, retry: RetryConfig = PATIENCE) -> Applied:
    """Run down.sql and strike the step out, as `apply` does."""
    if not step.down.in_transaction:
        from agentmem_store.migrations import stepwise

        return await stepwise.take_back(connection, step, retry)
    return await _in_transaction(connection, step.down, retry, lambda _: ledger.remove(connection, step))


async def _in_transaction(
    connection: Connection, script: Script, retry: RetryConfig, note: Callable[[int], Awaitable[Applied]]
) -> Applied:
    async def once() -> Applied:
        await connection.execute(begin(script))
        started = perf_counter()
        for at, sql in _statements(script):
            await _run(connection, script, at, sql)
        with telling(script):
            await connection.execute(SETTLE)
            row = await note(round((perf_counter() - started) * 1000))
            await connection.execute("COMMIT")
        return row

    return await kindly(connection, retry, once)


def begin(script: Script) -> str:
    """Return what begins a transaction for statements of a script, with its timeouts: by default 2 s, and an hour.

    Whoever waits for a table's lock has everybody who comes later wait behind, too, and so it must not wait for long.
    """
    lock_ms, statement_ms = script.lock_timeout_ms, script.statement_timeout_ms
    return (
        f"BEGIN; SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS if lock_ms is None else lock_ms};"
        f"SET LOCAL statement_timeout = {_STATEMENT_TIMEOUT_MS if statement_ms is None else statement_ms}"
    )


async def kindly(connection: Connection, retry: RetryConfig, once: Callable[[], Awaitable[Result]]) -> Result:
    """Await `once()`; after a lock timeout or a deadlock roll back, let the others pass, and begin again."""

    async def attempt() -> Result:
        try:
            return await once()
        except errors.MigrationFailed:
            with suppress(*DRIVER_ERRORS):
                await connection.execute("ROLLBACK")
            raise

    return await tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(lambda error: getattr(error, "sqlstate", None) in _BUSY),
        wait=tenacity.wait_random_exponential(retry.base_ms / 1000, retry.max_ms / 1000, retry.factor),
        stop=tenacity.stop_after_attempt(retry.retries + 1) | tenacity.stop_before_delay(retry.deadline_s),
        before_sleep=_tell,
        reraise=True,
    )(attempt)


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait_ms = round(state.upcoming_sleep * 1000)
    _log.warning("agentmem.migration.waits", attempt=state.attempt_number, wait_ms=wait_ms, error=str(error))


def _statements(script: Script) -> list[tuple[int | None, str]]:
    """Return the statements of a file, each with its place, so that every failure can name its line."""
    try:
        from agentmem_store.migrations.splitter import split
    except ImportError:  # then the server splits it, and only some failures have a line
        return [(None, script.sql)]
    return [(statement.at, statement.sql) for statement in split(script.sql)]


async def _run(connection: Connection, script: Script, at: int | None, sql: str) -> None:
    with telling(script, at):
        await connection.execute(sql)
    if not connection.is_in_transaction():
        place = ":".join(map(str, files.place_of(script.sql, at or 0)))
        said = "remove COMMIT and ROLLBACK, and undo by hand what ran before them"
        raise errors.MigrationFailed(f"{script.path}:{place}: {said}")


@contextmanager
def telling(script: Script, at: int | None = None) -> Generator[None]:
    """Turn the driver's errors into MigrationFailed; of a statement that begins at index `at`, with line and column."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise _failed(script, error, at) from error


def _failed(script: Script, error: BaseException, at: int | None) -> errors.MigrationFailed:
    position: str | None = getattr(error, "position", None)
    told = errors.from_driver(error)
    hint = "; declare `-- agentmem: no-transaction`" if told.sqlstate == _NOT_IN_A_TRANSACTION else ""
    place, excerpt = script.path, ""
    if position or at is not None:
        line, column = files.place_of(script.sql, (at or 0) + int(position or 1) - 1)
        place = f"{script.path}:{line}:{column}"
        excerpt = f"{line:>5} | {script.sql.split(chr(10))[line - 1]}\n{'':5} | {'':{column - 1}}^"
    failure = errors.MigrationFailed(f"{place}: {told}{hint}")
    failure.excerpt = excerpt
    failure.sqlstate, failure.constraint, failure.outcome = told.sqlstate, told.constraint, told.outcome
    return failure
