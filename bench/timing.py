"""Measuring several ways of doing one thing against each other.

Absolute times move with the machine; what is compared runs interleaved (A B A B …) in one process, and the ratio of
medians is the message.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    Work = Callable[[], Awaitable[int]]

__all__ = ["Timing", "interleave"]


@dataclass(frozen=True)
class Timing:
    """Seconds per operation of one contender, a figure for each round."""

    name: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a part of the median."""
        if len(self.rounds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.rounds, n=4)
        return (high - low) / 2 / self.median


async def interleave(contenders: Mapping[str, Work], *, rounds: int, on_round: Callable[[], None]) -> Sequence[Timing]:
    """Run each contender once unmeasured, then in turn for `rounds` rounds.

    Args:
        contenders: by name, a coroutine function that does some operations and returns how many.
        rounds: how many figures for each.
        on_round: called after each run, for a progress bar.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for measured in range(rounds + 1):
        for name, work in contenders.items():
            gc.collect()
            began = time.perf_counter()
            operations = await work()
            took = (time.perf_counter() - began) / operations
            if measured:
                found[name].append(took)
            on_round()
    return [Timing(name, tuple(figures)) for name, figures in found.items()]
