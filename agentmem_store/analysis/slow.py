"""The plans of slow statements: explained after the fact, beside the pool, seldom, and kept without their values."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from agentmem_store import connect, errors
from agentmem_store.analysis.explain import explain_on
from agentmem_store.executor import ConnectionExecutor
from agentmem_store.models.plans import SlowPlan
from agentmem_store.telemetry import Observer

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem_store.config import PoolConfig
    from agentmem_store.query import Query
    from agentmem_store.telemetry import Statement

__all__ = ["SlowPlans"]

_log: Final[Any] = structlog.get_logger("agentmem_store")

_QUIET_S: Final = 60.0  # between two plans of one query
_TIMEOUT_S: Final = 2.0
_MOST_WAITING: Final = 8  # a server on which all is slow is not to be asked for more
_WRITES: Final = frozenset({"ModifyTable", "LockRows"})


class SlowPlans:
    """Explains slow statements on a connection of its own, one after another. None of it runs them again.

    The plan that ran is the generic one, for which no argument is needed; beside it stands that for the very arguments,
    which travel as parameters.

    Args:
        dsn: of the server.
        config: how to connect.
        keep: called with the name of a query and its plan.
        clock: seconds on a monotonic clock.
    """

    def __init__(
        self,
        dsn: str,
        config: PoolConfig,
        keep: Callable[[str, SlowPlan], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn, self._config, self._keep, self._clock = dsn, config, keep, clock
        self._quiet_until: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()

    def note(self, statement: Statement, args: tuple[Any, ...]) -> None:
        """Have a slow statement explained soon; at most once a minute for each query, and only what was a read."""
        name, now = statement.query.name, self._clock()
        if now < self._quiet_until.get(name, 0.0) or len(self._tasks) >= _MOST_WAITING or statement.run_s is None:
            return
        if name.startswith("analysis.") or not statement.query.sql.lstrip().upper().startswith(("SELECT", "WITH")):
            return
        self._quiet_until[name] = now + _QUIET_S
        task = asyncio.get_running_loop().create_task(self._explain(statement.query, args, statement.run_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until all that was noted is explained."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Leave what is not explained yet."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _explain(self, query: Query[Any], args: tuple[Any, ...], run_s: float) -> None:
        try:
            async with self._one_at_a_time:
                found = await self._explained(query, args, run_s)
        except errors.AgentMemError as error:  # a plan is worth no more than this line
            _log.info("agentmem.plan.failed", query=query.name, error=type(error).__name__, sqlstate=error.sqlstate)
            return
        if not any(node.kind in _WRITES for node in found.plan.walk()):
            self._keep(query.name, found)

    async def _explained(self, query: Query[Any], args: tuple[Any, ...], run_s: float) -> SlowPlan:
        connection = await connect.for_pool(self._dsn, self._config)
        try:
            executor = ConnectionExecutor(connection, Observer(float("inf")))
            ran = await explain_on(executor, query, None, generic=True, timeout_s=_TIMEOUT_S)
            for_these = await explain_on(executor, query, args, timeout_s=_TIMEOUT_S)
        finally:
            connection.terminate()
        now = datetime.now(UTC)
        return SlowPlan(plan=ran.redacted(), for_its_arguments=for_these.redacted(), run_s=run_s, at=now)
