"""Many concurrent calls, few statements.

A call that finds no other of its kind under way goes by itself: at once, in its own task. Those that come while one is
under way wait for a connection together, and all that wait when one is free go in one statement. So a call never waits
for a timer, and the busier the pool, the larger the batches. (The idea of batching by what queued up in the meantime
is that of group commit: DeWitt et al., "Implementation Techniques for Main Memory Database Systems", SIGMOD 1984.)

A statement serves one tenant only, so there is none in which a row of another could show. It returns to each caller
what that caller would have got alone: what the statement passes over goes alone, and says why itself.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextvars import Context
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from agentmem_store import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from uuid import UUID

    from agentmem_store.executor.pooled import PoolExecutor
    from agentmem_store.pool import PoolManager
    from agentmem_store.query import Query

__all__ = ["LEFT_OUT", "Coalescer", "Kind"]

Item = TypeVar("Item")
Result = TypeVar("Result")

# Calls of one statement: enough that its round trip and commit weigh nothing, few enough that it takes milliseconds.
_MOST: Final = 100

# Nothing of the statement is stored, and one of its rows may be why: bad data, a constraint, a deadlock, a limit.
_OF_A_ROW: Final = ("22", "23", "40", "54")

LEFT_OUT: Final[Any] = object()


class Kind(ABC, Generic[Item, Result]):
    """How calls of one kind share a statement.

    Attributes:
        query: runs for several items.
    """

    query: Query[Any]

    @abstractmethod
    def arguments(self, items: Sequence[Item]) -> tuple[Any, ...]:
        """Return what the query takes for these items, of which there is at least one."""

    @abstractmethod
    def answers(self, items: Sequence[Item], records: Sequence[Any]) -> Iterable[Result]:
        """Return the answer to each item, `LEFT_OUT` for one that has to go alone."""

    @abstractmethod
    async def alone(self, item: Item) -> Result:
        """Run one item by itself."""

    def ids(self, item: Item) -> Sequence[UUID]:  # noqa: ARG002
        """Return what no two items of one statement may have in common; by default nothing."""
        return ()

    def lane(self, item: Item) -> Hashable | None:  # noqa: ARG002
        """Return that within which calls keep their order: it is never in two statements at once. By default None."""
        return None


class _NobodyLeft(Exception):
    pass


@dataclass(eq=False, slots=True)
class _Call(Generic[Item, Result]):
    item: Item
    lane: Hashable | None
    future: asyncio.Future[Result]

    @property
    def is_over(self) -> bool:
        """Whether it was cancelled, or has its answer."""
        return self.future.done()

    def succeed(self, result: Result) -> None:
        if not self.is_over:
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        if self.is_over:
            return
        if isinstance(error, Exception):
            own = copy(error)
            own.__cause__ = error.__cause__
            self.future.set_exception(own)
        else:
            self.future.cancel()


class Coalescer:
    """Lets the calls of one pool share statements.

    Args:
        executor: runs them.
        pool: lends the connections.

    Attributes:
        gatherings: calls under way, by what they share.
    """

    def __init__(self, executor: PoolExecutor, pool: PoolManager) -> None:
        self._executor = executor
        self._pool = pool
        self.gatherings: dict[Hashable, _Gathering[Any, Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, key: Hashable, kind: Callable[[], Kind[Item, Result]], item: Item) -> Result:
        """Run one item, with others of its kind that are asked for at the same time.

        Args:
            key: calls with the same may share a statement: its name, the tenant, and what else it takes but once.
            kind: tells how.
            item: what is asked for.

        Raises:
            PoolFull: too many calls wait already.
            AgentMemError: what the item would have raised alone; of a statement that failed as a whole, each caller
                gets an error of his own.
        """
        gathering: _Gathering[Item, Result] | None = self.gatherings.get(key)
        if gathering is None:
            leave = partial(self.gatherings.pop, key)
            gathering = self.gatherings[key] = _Gathering(kind(), self._executor, self._start, leave)
            return await gathering.by_itself(item)
        if self._pool.admits(gathering.waiting, asyncio.current_task()):
            return await gathering.join(item)
        return await kind().alone(item)

    def _start(self, flight: Callable[[], Any]) -> None:
        """Start a task that belongs to no caller, and so has none of the context of one."""
        task = asyncio.get_running_loop().create_task(flight(), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Gathering(Generic[Item, Result]):
    """The calls of one kind and tenant: who waits, and who is under way. It is there while somebody is."""

    def __init__(
        self,
        kind: Kind[Item, Result],
        executor: PoolExecutor,
        start: Callable[[Callable[[], Any]], None],
        leave: Callable[[], Any],
    ) -> None:
        self._kind = kind
        self._executor = executor
        self._start = start
        self._leave = leave
        self._ready: list[_Call[Item, Result]] = []
        self._lanes: set[Hashable | None] = set()  # under way
        self._flights = 0
        self._is_boarding = False

    @property
    def waiting(self) -> int:
        """How many calls wait for a connection."""
        return len(self._ready)

    async def by_itself(self, item: Item) -> Result:
        """Run one item in the task of its caller."""
        lane = self._kind.lane(item)
        self._flights += 1
        self._lanes.add(lane)
        try:
            return await self._kind.alone(item)
        finally:
            self._land([lane])

    async def join(self, item: Item) -> Result:
        """Run one item with those that wait."""
        call: _Call[Item, Result] = _Call(item, self._kind.lane(item), asyncio.get_running_loop().create_future())
        self._ready.append(call)
        self._board([call])
        return await call.future

    def _board(self, calls: Iterable[_Call[Item, Result]]) -> None:
        """See to it that somebody waits for a connection, if one of the calls could use it."""
        if not self._is_boarding and any(map(self._may_go, calls)):
            self._is_boarding = True
            self._flights += 1
            self._start(self._fly)

    def _may_go(self, call: _Call[Item, Result]) -> bool:
        return not call.is_over and (call.lane is None or call.lane not in self._lanes)

    async def _fly(self) -> None:
        calls: list[_Call[Item, Result]] = []
        left: list[_Call[Item, Result]] = []
        try:
            records = await self._executor.fetch(self._kind.query, (), partial(self._depart, calls))
            left = self._deliver(calls, records)
        except errors.AgentMemError as error:
            if not calls:  # there was no connection
                self._take(calls)
            await self._fail(calls, error)
        except _NobodyLeft:
            pass
        except BaseException as error:
            self._give_up(calls or self._ready, error)
            raise
        finally:
            self._land([call.lane for call in calls])
        await self._one_by_one(left)

    def _depart(self, calls: list[_Call[Item, Result]]) -> tuple[Any, ...]:
        """Take those who go along, now that a connection is free, and return the arguments of their statement."""
        self._take(calls)
        if not calls:
            raise _NobodyLeft
        return self._kind.arguments([call.item for call in calls])

    def _take(self, taken: list[_Call[Item, Result]]) -> None:
        left: list[_Call[Item, Result]] = []
        ids: set[UUID] = set()
        behind: set[Hashable | None] = set()
        for call in self._ready:
            own = self._kind.ids(call.item)
            if len(taken) < _MOST and self._may_go(call) and call.lane not in behind and ids.isdisjoint(own):
                taken.append(call)
                ids.update(own)
            elif not call.is_over:
                left.append(call)
                behind |= {call.lane} - {None}
        self._ready = left
        self._lanes.update(call.lane for call in taken)
        self._is_boarding = False
        self._board(left)

    def _deliver(self, calls: list[_Call[Item, Result]], records: Sequence[Any]) -> list[_Call[Item, Result]]:
        """Give each caller his answer; return those that the statement left out."""
        left: list[_Call[Item, Result]] = []
        for call, answer in zip(calls, self._kind.answers([call.item for call in calls], records), strict=True):
            if answer is LEFT_OUT:
                left.append(call)
            else:
                call.succeed(answer)
        return left

    async def _fail(self, calls: list[_Call[Item, Result]], error: errors.AgentMemError) -> None:
        """Give each caller the error of a statement that failed; if one row may be why, find out whose."""
        if _is_of_a_row(error):
            await self._one_by_one(calls)
        else:
            self._give_up(calls, error)

    async def _one_by_one(self, calls: list[_Call[Item, Result]]) -> None:
        """Run each alone, in order; when it is the server that fails, it fails all who are left."""
        for place, call in enumerate(calls):
            if call.is_over:
                continue
            try:
                call.succeed(await self._kind.alone(call.item))
            except errors.AgentMemError as error:
                self._give_up([call] if _is_of_a_row(error) else calls[place:], error)
            except BaseException as error:
                self._give_up(calls[place:], error)
                raise

    def _give_up(self, calls: Iterable[_Call[Item, Result]], error: BaseException) -> None:
        for call in calls:
            call.fail(error)

    def _land(self, lanes: Iterable[Hashable | None]) -> None:
        self._lanes.difference_update(lanes)
        self._flights -= 1
        self._board(self._ready)
        if not self._flights:  # who is still among the ready was cancelled
            self._leave()


def _is_of_a_row(error: errors.AgentMemError) -> bool:
    """Whether an error may say something of one item and nothing of the next, as the driver's own does."""
    is_the_drivers = type(error) is errors.DatabaseError and error.sqlstate is None
    is_ours = isinstance(error, errors.NotFound | errors.Conflict)
    return is_ours or is_the_drivers or (error.sqlstate or "").startswith(_OF_A_ROW)
