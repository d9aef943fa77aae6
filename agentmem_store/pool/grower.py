"""Opening connections in the background."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentmem_store import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Grower"]


class Grower:
    """Opens one connection after another while more are wanted; never two at a time.

    A caller waits for whatever comes first, this or a connection that comes back; so when all come at once and
    connections come back quickly, hardly any is opened.

    Args:
        wanted: whether one more is wanted.
        open_one: opens it.
        failed: called with the error when one could not be opened; the next nudge tries again.
    """

    def __init__(
        self,
        wanted: Callable[[], bool],
        open_one: Callable[[], Awaitable[None]],
        failed: Callable[[errors.AgentMemError], None],
    ) -> None:
        self._wanted = wanted
        self._open_one = open_one
        self._failed = failed
        self._task: asyncio.Task[None] | None = None

    def nudge(self) -> None:
        """Begin, unless it is at work or nothing is wanted."""
        if (self._task is None or self._task.done()) and self._wanted():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="agentmem-pool-grower")

    async def stop(self) -> None:
        """Give up what is being opened."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        try:
            while self._wanted():
                await self._open_one()
        except errors.AgentMemError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait have to hear of it
            self._failed(errors.ConnectError(f"no connection could be opened ({type(error).__name__})"))
