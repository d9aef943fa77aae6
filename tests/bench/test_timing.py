from __future__ import annotations

import asyncio
import time

from bench.timing import at_once, at_rate, batches, in_streams, interleave, one_after_another


async def test_contenders_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def contender(name: str):
        async def run() -> dict[str, float]:
            order.append(name)
            return {"time": len(order)}

        return run

    steps: list[None] = []
    found = await interleave({"a": contender("a"), "b": contender("b")}, rounds=2, on_round=lambda: steps.append(None))
    assert order == ["a", "b"] * 3
    assert found == {"a": {"time": [3, 5]}, "b": {"time": [4, 6]}}
    assert len(steps) == 6


async def test_calls_go_on_counting_from_round_to_round() -> None:
    calls: list[int] = []

    async def operation(n: int) -> None:
        calls.append(n)

    work = one_after_another(3, operation)
    first = await work()
    await work()
    assert calls == [0, 1, 2, 3, 4, 5]
    assert 0 < first["p50"] <= first["p99"]
    assert first["time"] > 0


async def test_tasks_at_once_are_all_there_before_any_is_done() -> None:
    met = asyncio.Barrier(5)

    async def operation(_: int) -> None:
        async with asyncio.timeout(10):
            await met.wait()

    assert (await at_once(5, operation)())["time"] > 0


async def test_streams_make_each_call_once() -> None:
    calls: list[int] = []

    async def operation(n: int) -> None:
        calls.append(n)

    assert set(await in_streams(3, 2, operation)()) == {"time", "p50", "p99"}
    assert sorted(calls) == list(range(6))


async def test_who_is_due_during_a_stall_is_charged_for_it() -> None:
    """Ten calls are due within 20 ms; the first stalls everything for 100 ms, so the last waits for 80 ms at least."""

    async def operation(n: int) -> None:
        if n == 0:
            time.sleep(0.1)

    found = await at_rate(500, 0.02, operation)()
    assert found["p50"] > 0.07


async def test_making_a_batch_is_not_measured() -> None:
    stored: list[int] = []

    def make(size: int) -> int:
        time.sleep(0.1)
        return size

    async def store(batch: int) -> None:
        stored.append(batch)

    assert (await batches(2, make, store)())["time"] < 0.05
    assert stored == [2]
