"""Running a whole transaction again when nothing of it happened.

What may be repeated is told by the error's `outcome`, which comes from the SQLSTATE and from how far the statement got,
never from the words of a message. tenacity does the waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
import tenacity

from agentmem_store import errors
from agentmem_store.statements import transactions as statements

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentmem_store.config import RetryConfig
    from agentmem_store.executor import ConnectionExecutor, Executor, Isolation

__all__ = ["commit_surely", "repeat"]

Result = TypeVar("Result")

# invalid_parameter_value: the server, after a crash, has not come to that id yet, so its transaction is not stored.
_IN_THE_FUTURE: Final = "22023"

_log: Final[Any] = structlog.get_logger("agentmem_store")


async def repeat(attempt: Callable[[], Awaitable[Result]], retry: RetryConfig) -> Result:
    """Await `attempt()`, and again after each error that says nothing happened, as often as `retry` allows.

    Args:
        attempt: starts from nothing each time, and holds no connection when it raises.
        retry: how often, and after how long.

    Raises:
        AgentMemError: the last attempt's own error; at once, when it is not of the kind that may be repeated.
    """
    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_may_be_repeated),
        wait=tenacity.wait_random_exponential(retry.base_ms / 1000, retry.max_ms / 1000, retry.factor),
        stop=tenacity.stop_after_attempt(retry.retries + 1) | tenacity.stop_before_delay(retry.deadline_s),
        before_sleep=_tell,
        reraise=True,
    )

    async def once() -> Result:  # tenacity awaits coroutine functions only
        return await attempt()

    return await retrying(once)


async def commit_surely(
    executor: Executor,
    work: Callable[[ConnectionExecutor], Awaitable[Result]],
    retry: RetryConfig,
    *,
    isolation: Isolation | None,
    read_only: bool,
) -> Result:
    """Await `work` in a transaction; when the connection breaks during the commit, ask the server what became of it.

    The transaction's id is fetched before the commit, for one round trip; pg_xact_status then tells its fate from any
    other connection. One case is beyond it: a server that crashed before any of the transaction reached its disk may
    give the same id to another one.

    Raises:
        TransactionRolledBack: nothing of it happened.
        CommitUnknown: the server could not be asked as often as `retry` allows.
    """
    result: list[Result] = []
    transaction_id: str | None = None
    try:
        async with executor.transaction(isolation, read_only=read_only) as inner:
            result.append(await work(inner))
            if not read_only:
                transaction_id = (await inner.fetch(statements.CURRENT_ID, ()))[0][0]
    except errors.CommitUnknown as unknown:
        if transaction_id is not None and not await _was_committed(executor, transaction_id, unknown, retry):
            raise errors.TransactionRolledBack("the server was lost before it committed") from unknown
    return result[0]


async def _was_committed(
    executor: Executor, transaction_id: str, unknown: errors.CommitUnknown, retry: RetryConfig
) -> bool:
    async def ask() -> bool:
        status = (await executor.fetch(statements.STATUS, (transaction_id,)))[0][0]
        if status == "in progress":
            raise errors.TransactionRolledBack("the transaction is still being ended")  # ask again
        return bool(status == "committed")

    try:
        return await repeat(ask, retry)
    except errors.DatabaseError as error:
        if error.sqlstate == _IN_THE_FUTURE:
            return False
        raise unknown from error


def _may_be_repeated(error: BaseException) -> bool:
    return isinstance(error, errors.AgentMemError) and error.retryable


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.warning(
        "agentmem.retry.scheduled",
        attempt=state.attempt_number,
        wait_ms=round((state.upcoming_sleep or 0) * 1000, 1),
        error=type(error).__name__,
        sqlstate=getattr(error, "sqlstate", None),
        query=getattr(error, "query", None),
    )
