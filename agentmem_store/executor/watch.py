"""Observing a statement of a connection from its start to however it ends."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from agentmem_store import errors

if TYPE_CHECKING:
    from collections.abc import Generator

    from agentmem_store.executor.connected import ConnectionExecutor
    from agentmem_store.query import Query

__all__ = ["Watch"]


class Watch:
    """Tells the observer of one statement: that it started, and how it ended.

    Attributes:
        rows: how many it returned, to be set when that is known.
    """

    __slots__ = ("_args", "_away_s", "_began", "_executor", "_query", "rows")

    def __init__(self, executor: ConnectionExecutor, query: Query[Any], args: tuple[Any, ...]) -> None:
        self._executor = executor
        self._query = query
        self._args = args
        self._away_s = 0.0
        self.rows = 0

    def __enter__(self) -> Self:
        self._executor.observer.started()
        self._began = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        run_s = time.perf_counter() - self._began - self._away_s
        observer, query, args = self._executor.observer, self._query, self._args
        if error is None or isinstance(error, GeneratorExit):
            observer.finished(query, wait_s=0.0, run_s=run_s, rows=self.rows, args=args)
        elif isinstance(error, errors.AgentMemError):
            observer.failed(query, error, run_s=run_s, args=args)
        elif isinstance(error, errors.DRIVER_ERRORS):
            failure = self._executor.explain(error, query.name)
            raise observer.failed(query, failure, run_s=run_s, args=args) from error
        else:
            self._executor.interrupted()
            observer.cancelled(query, run_s=run_s, args=args)

    @contextmanager
    def away(self) -> Generator[None, None, None]:
        """Leave out the time that the caller takes."""
        left = time.perf_counter()
        try:
            yield
        finally:
            self._away_s += time.perf_counter() - left
