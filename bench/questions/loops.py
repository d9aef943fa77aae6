"""The two event loops. A process has one, so each has a process of its own; their rounds are in turn as everywhere."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from bench.case import Case
from bench.ground import Skipped
from bench.loop_worker import works

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator

    from bench.ground import Ground, Place
    from bench.timing import Round, Work

__all__ = ["loop"]

_LOOPS: Final = ("asyncio", "uvloop")


async def loop(ground: Ground) -> AsyncGenerator[Case]:
    """How long do ours take on the event loop of asyncio, and how long on uvloop?"""
    if find_spec("uvloop") is None:
        raise Skipped("uvloop is not installed")
    async with ground.place() as place, AsyncExitStack() as stack:
        workers = {name: await stack.enter_async_context(_worker(name, ground, place)) for name in _LOOPS}
        for case in works(ground.size):
            yield Case(case, {name: _round(worker, case) for name, worker in workers.items()})


@asynccontextmanager
async def _worker(name: str, ground: Ground, place: Place) -> AsyncGenerator[Process]:
    """Start a process on a loop. What it needs goes through its input: a DSN is nothing for a list of processes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.loop_worker", name, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    given = {"dsn": place.dsn, "world": asdict(place.world), "size": asdict(ground.size)}
    try:
        await _ask(process, json.dumps(given, default=str))
        yield process
    finally:
        process.stdin.close()  # type: ignore[union-attr]  # the worker ends with its input
        await process.wait()


def _round(worker: Process, case: str) -> Work:
    async def run() -> Round:
        found: dict[str, float] = json.loads(await _ask(worker, case))
        return found

    return run


async def _ask(worker: Process, line: str) -> bytes:
    """Send a line and return the one that answers it."""
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write(line.encode() + b"\n")
    await worker.stdin.drain()
    answer = await worker.stdout.readline()
    if not answer:
        raise RuntimeError("the process of the event loop ended; its complaint stands above")
    return answer
