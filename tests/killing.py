"""Calls that are cancelled in the middle of a statement, in place of a kill."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from agentmem_store.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentmem_store.query import Query


class _Fatal(Scope):
    """A scope whose user is cancelled while one of its statements runs."""

    def __init__(self, scope: Scope, statements: int, hops: int) -> None:
        super().__init__(scope._executor, scope._observer, scope.organization_id, scope.actor_id)
        self.left = statements
        self._hops = hops

    async def fetch_all(self, query: Query[Any], *args: Any) -> Any:
        self._approach()
        return await super().fetch_all(query, *args)

    async def fetch_one(self, query: Query[Any], *args: Any) -> Any:
        self._approach()
        return await super().fetch_one(query, *args)

    def _approach(self) -> None:
        self.left -= 1
        task = asyncio.current_task()
        if self.left == 0 and task:
            _after(self._hops, task.cancel)


def _after(hops: int, call: Callable[[], Any]) -> None:
    """Call in so many rounds of the event loop: before the statement is sent, while it runs, or when it is done."""
    loop = asyncio.get_running_loop()
    loop.call_soon(call if hops == 0 else lambda: _after(hops - 1, call))


async def killed(scope: Scope, call: Callable[[Scope], Awaitable[Any]], statements: int, hops: int) -> bool:
    """Run a call that is cancelled in its statement of that number, from 1; return whether it got as far as that."""

    async def run() -> None:
        await call(_Fatal(scope, statements, hops))

    (result,) = await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
    if isinstance(result, Exception):
        raise result
    return result is not None
