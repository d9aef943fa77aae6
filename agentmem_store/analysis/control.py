"""Control statements of analysis, and the transactions in which they run: limited in time, and always rolled back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors
from agentmem_store.query import Query

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agentmem_store.executor import Executor
    from agentmem_store.scope import Root, Scope

__all__ = ["DEFAULT_TIMEOUT_S", "command", "executor_of", "fetch", "fetch_value", "undone"]

DEFAULT_TIMEOUT_S: Final = 10.0
_LONGEST_S: Final = 86_400


class _Undo(Exception):  # it never leaves this module
    """Leaves a transaction by its rollback."""


def executor_of(scope: Root | Scope) -> Executor:
    """Return where the statements of a scope run."""
    return scope._executor  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def command(sql: str) -> Query[Any]:
    """Make a statement of the analysis' own. No value of a caller's is ever part of it."""
    own: Any = sql
    return Query("analysis.control", str, own)


async def fetch(executor: Executor, sql: str, *args: Any) -> list[Any]:
    """Run one statement of the analysis' own and return its records."""
    return await executor.fetch(command(sql), args)


async def fetch_value(executor: Executor, sql: str, *args: Any) -> Any:
    """Run one statement of the analysis' own and return the first column of its first row."""
    return (await fetch(executor, sql, *args))[0][0]


@asynccontextmanager
async def undone(executor: Executor, timeout_s: float, *, read_only: bool = True) -> AsyncGenerator[Executor]:
    """Begin a transaction, or a savepoint within one, in which each statement ends in time; it is always rolled back.

    Args:
        executor: where.
        timeout_s: seconds that a statement may take, above 0 and up to a day.
        read_only: whether the server refuses writes.

    Raises:
        ValidationError: timeout_s is out of bounds.
    """
    if not 0 < timeout_s <= _LONGEST_S:
        raise errors.ValidationError.of("timeout_s", f"must be above 0 and at most {_LONGEST_S}")
    try:
        async with executor.transaction(None, read_only=False) as inner:
            await fetch(inner, f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))}")
            if read_only:  # in a savepoint too, where BEGIN … READ ONLY does not reach; its rollback takes it back
                await fetch(inner, "SET LOCAL transaction_read_only = on")
            yield inner
            raise _Undo  # noqa: TRY301  # the only way to have a transaction rolled back is to leave it so
    except _Undo:
        pass
