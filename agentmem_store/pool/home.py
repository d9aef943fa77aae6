"""Where a pool belongs."""

from __future__ import annotations

import asyncio
import os

from agentmem_store import errors

__all__ = ["Home"]


class Home:
    """The event loop and the process in which a pool was opened; its connections are of no use anywhere else."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    def settle(self) -> None:
        """Belong here."""
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()

    def check(self) -> None:
        """Raise UsageError anywhere else."""
        if self._pid != os.getpid():
            raise errors.UsageError("this pool was opened before a fork: open one in each process")
        if self._loop is not asyncio.get_running_loop():
            raise errors.UsageError("this pool belongs to another event loop: open one in each loop")
