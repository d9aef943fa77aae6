"""Work that blocks, such as reading a file, away from the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_thread"]

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


async def in_thread(function: Callable[[*Args], Result], *args: *Args) -> Result:
    """Call a function in a thread, and return when it is done, also when cancelled meanwhile.

    Otherwise the thread would go on with what the caller is cleaning up: a file that it closes, a generator.
    """
    work = asyncio.get_running_loop().run_in_executor(None, function, *args)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await asyncio.wait([work])
        work.exception()  # whatever it is, it is not what the caller waits for any more
        raise
