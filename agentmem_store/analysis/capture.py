"""The plans of the statements that a piece of code runs."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentmem_store.analysis.control import DEFAULT_TIMEOUT_S, executor_of
from agentmem_store.analysis.explain import explain_on
from agentmem_store.errors import UsageError
from agentmem_store.executor import ConnectionExecutor, Executor
from agentmem_store.scope import Root, Scope
from agentmem_store.telemetry import Observer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

    from agentmem_store.errors import AgentMemError
    from agentmem_store.executor import Isolation
    from agentmem_store.models.plans import Plan
    from agentmem_store.query import Query

    _Note = Callable[[Query[Any], tuple[Any, ...]], None]

__all__ = ["Captured", "capture"]

Own = TypeVar("Own", Root, Scope)


class Captured(Generic[Own]):
    """What ran through `scope`, in that order.

    Attributes:
        scope: what to give to the functions that are to be watched.
        plans: one for each statement that returned, once the block is left.
    """

    def __init__(self, scope: Own) -> None:
        self.scope: Own = scope
        self.plans: list[Plan] = []

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.plans)

    def __getitem__(self, name: str) -> Plan:
        """Return the plan of the first call of the query of that name, or raise KeyError."""
        return {plan.query: plan for plan in reversed(self.plans)}[name]


@asynccontextmanager
async def capture(
    scope: Own, *, analyze: bool = False, generic: bool = True, timeout_s: float = DEFAULT_TIMEOUT_S
) -> AsyncGenerator[Captured[Own]]:
    """Yield a scope that does what the given one does; on leaving the block, explain what ran through it.

    Args:
        scope: whose statements; its copy is in `Captured.scope`. Within a transaction, what runs on that transaction.
        analyze: whether to run what only reads once more, and measure it. What writes is explained only.
        generic: whether to show the plan that connections of this library use, which is the one that ran. Without it,
            what the planner would do for the very values.
        timeout_s: seconds that each explanation may take.

    Raises:
        AgentMemError: what ran cannot be explained any more; see `explain`.
    """
    executor = executor_of(scope)
    ran: list[tuple[Query[Any], tuple[Any, ...]]] = []

    def note(query: Query[Any], args: tuple[Any, ...]) -> None:
        if _is_explained(query):
            ran.append((query, args))

    with _listened(executor, note) as noted:
        seen = Captured(_over(scope, noted))
        yield seen
    explained = partial(explain_on, executor, generic=generic, timeout_s=timeout_s)
    for query, args in ran:
        try:
            plan = await explained(query, args, analyze=analyze)
        except UsageError:  # it writes
            plan = await explained(query, args)
        seen.plans.append(plan)


def _over(scope: Own, executor: Executor) -> Own:
    """Return the same scope on another executor."""
    observer = scope._observer  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if isinstance(scope, Scope):
        return Scope(executor, observer, scope.organization_id, scope.actor_id)
    return Root(executor, observer)


def _is_explained(query: Query[Any]) -> bool:
    return not query.sql.lstrip().startswith("COPY")


@contextmanager
def _listened(executor: Executor, note: _Note) -> Generator[Executor]:
    """Have what runs on an executor noted, and yield what to run it on."""
    if not isinstance(executor, ConnectionExecutor):
        yield _Noting(executor, note)
        return
    # The executor of a transaction cannot be wrapped: streams, copies and nested savepoints are its own. It is watched
    # in the place of its observer instead, while the block lasts.
    previous = executor.observer
    executor.observer = _NotingObserver(previous, note)
    try:
        yield executor
    finally:
        executor.observer = previous


class _Noting(Executor):
    """Runs on another executor, and notes what returned."""

    def __init__(self, inner: Executor, note: _Note) -> None:
        self._inner = inner
        self._note = note

    async def fetch(self, query: Query[Any], args: tuple[Any, ...]) -> list[Any]:
        records = await self._inner.fetch(query, args)
        self._note(query, args)
        return records

    @asynccontextmanager
    async def transaction(self, isolation: Isolation | None, *, read_only: bool) -> AsyncGenerator[Any]:
        async with self._inner.transaction(isolation, read_only=read_only) as inner:
            with _listened(inner, self._note) as noted:
                yield noted


class _NotingObserver(Observer):
    """Tells another observer, and notes what returned."""

    def __init__(self, inner: Observer, note: _Note) -> None:
        super().__init__(float("inf"))
        self._inner = inner
        self._note = note

    def started(self) -> None:
        self._inner.started()

    def finished(
        self, query: Query[Any], *, wait_s: float, run_s: float, rows: int, args: tuple[Any, ...] = ()
    ) -> None:
        self._inner.finished(query, wait_s=wait_s, run_s=run_s, rows=rows, args=args)
        self._note(query, args)

    def failed(self, query: Query[Any], error: Exception, **told: Any) -> AgentMemError:
        return self._inner.failed(query, error, **told)

    def cancelled(self, query: Query[Any], **told: Any) -> None:
        self._inner.cancelled(query, **told)
