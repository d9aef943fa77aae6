"""Measuring several ways of doing one thing against each other.

Absolute times move with the machine; what is compared runs interleaved (A B C A B C …) in one process, and the ratio of
medians is the message.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    # What one round found: figures by name, times in seconds. `time` is what an operation took of the round's time.
    Round = Mapping[str, float]
    Work = Callable[[], Awaitable[Round]]
    Operation = Callable[[int], Awaitable[Any]]

__all__ = ["at_once", "at_rate", "batches", "in_streams", "interleave", "one_after_another"]


async def interleave(
    contenders: Mapping[str, Work], *, rounds: int, on_round: Callable[[], object]
) -> dict[str, dict[str, list[float]]]:
    """Run each contender once unmeasured, then in turn for `rounds` rounds.

    Args:
        contenders: by name, what does one round and returns its figures.
        rounds: how many figures for each.
        on_round: called after each run, for a progress bar.

    Returns:
        for each contender, in the order given, its figures by name, one for each round.
    """
    found: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for measured in range(rounds + 1):
        for name, work in contenders.items():
            gc.collect()
            figures = await work()
            if measured:
                for figure, value in figures.items():
                    found[name].setdefault(figure, []).append(value)
            on_round()
    return found


def one_after_another(times: int, operation: Operation) -> Work:
    """Each call is awaited before the next is made. The number of the call goes on from round to round."""
    calls = itertools.count()

    async def run() -> Round:
        taken: list[float] = []
        for _ in range(times):
            began = time.perf_counter()
            await operation(next(calls))
            taken.append(time.perf_counter() - began)
        return {"time": sum(taken) / times, **_latencies(taken)}

    return run


def at_once(tasks: int, operation: Operation) -> Work:
    """That many tasks start at once and each awaits a call of its own."""

    async def run() -> Round:
        began = time.perf_counter()
        await asyncio.gather(*(operation(n) for n in range(tasks)))
        return {"time": (time.perf_counter() - began) / tasks}

    return run


def in_streams(tasks: int, each: int, operation: Operation) -> Work:
    """That many tasks at once make so many calls each, one after another."""

    async def stream(first: int, taken: list[float]) -> None:
        for n in range(first, first + each):
            began = time.perf_counter()
            await operation(n)
            taken.append(time.perf_counter() - began)

    async def run() -> Round:
        taken: list[float] = []
        began = time.perf_counter()
        await asyncio.gather(*(stream(task * each, taken) for task in range(tasks)))
        return {"time": (time.perf_counter() - began) / (tasks * each), **_latencies(taken)}

    return run


def at_rate(rate: int, seconds: float, operation: Operation) -> Work:
    """Calls arrive at a fixed rate, whether or not those before have ended.

    A call's time counts from when it was due, not from when it could be made: a system that stalls is charged for every
    call that would have come meanwhile. (Gil Tene, "How NOT to Measure Latency", calls the opposite coordinated
    omission.)
    """

    async def call(n: int, due: float, taken: list[float]) -> None:
        await operation(n)
        taken.append(time.perf_counter() - due)

    async def run() -> Round:
        taken: list[float] = []
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for n in range(max(1, round(rate * seconds))):
                due = began + n / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(call(n, due, taken))
        return {"time": sum(taken) / len(taken), **_latencies(taken)}

    return run


def batches(size: int, make: Callable[[int], Any], store: Callable[[Any], Awaitable[Any]]) -> Work:
    """Store a batch. Making it is not measured."""

    async def run() -> Round:
        batch = make(size)
        began = time.perf_counter()
        await store(batch)
        return {"time": (time.perf_counter() - began) / size}

    return run


def _latencies(taken: list[float]) -> Round:
    p50, p99 = np.percentile(taken, (50, 99))
    return {"p50": float(p50), "p99": float(p99)}
