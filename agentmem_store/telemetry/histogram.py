"""A histogram of seconds: cheap to record into, bounded in memory, quantiles within 5 %."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Histogram", "HistogramSnapshot"]

# Upper bounds from 1 µs to 1,000 s. Within a bucket the highest value is at most 1.104 times the lowest, so that its
# middle is off by at most 4.95 %. 24 a decade, laid so that 1 and 5 of every decade are bounds exactly: the bounds that
# OpenTelemetry asks for cut no bucket in two.
_BOUNDS: Final = [
    *(
        float(f"{first}e{decade}") * (last / first) ** (step / steps)
        for decade in range(-6, 3)
        for first, last, steps in ((1, 5, 17), (5, 10, 7))
        for step in range(steps)
    ),
    1e3,
]


class Histogram:
    """Counts durations in buckets of logarithmic width: about 2 kB, however many are recorded.

    Attributes:
        forward: called with each duration as it is recorded, for a metrics library that keeps its own buckets; None
            (the default) for nobody.
    """

    __slots__ = ("_counts", "_max", "_min", "_total", "forward")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._total = self._max = 0.0
        self._min = float("inf")
        self.forward: Callable[[float], None] | None = None

    def record(self, seconds: float) -> None:
        """Count one duration.

        Args:
            seconds: 0 or more. Quantiles tell durations apart between 1 µs and 1,000 s.
        """
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self._total += seconds
        if seconds < self._min:  # noqa: PLR1730 - min() and max() would cost a third of this function
            self._min = seconds
        if seconds > self._max:  # noqa: PLR1730
            self._max = seconds
        if self.forward is not None:
            self.forward(seconds)

    def snapshot(self) -> HistogramSnapshot:
        """Return what was recorded so far, as a value that does not change."""
        counts = tuple(self._counts)
        count = sum(counts)
        return HistogramSnapshot(count, self._total, self._min if count else 0.0, self._max, counts)


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """What a histogram had recorded at one moment.

    Attributes:
        count: how many durations.
        total: their sum in seconds.
        min: the shortest, exactly; 0 when there is none.
        max: the longest, exactly; 0 when there is none.
        counts: how many fell into each bucket, the shortest first.
    """

    count: int
    total: float
    min: float
    max: float
    counts: tuple[int, ...] = field(repr=False)

    @property
    def mean(self) -> float:
        """The mean in seconds; 0 when there is none."""
        return self.total / self.count if self.count else 0.0

    @property
    def p50(self) -> float:
        """The median in seconds, within 5 %."""
        return self.quantile(0.5)

    @property
    def p95(self) -> float:
        """What 95 of 100 did not exceed, in seconds, within 5 %."""
        return self.quantile(0.95)

    @property
    def p99(self) -> float:
        """What 99 of 100 did not exceed, in seconds, within 5 %."""
        return self.quantile(0.99)

    def quantile(self, q: float) -> float:
        """Return the duration in seconds that a part `q` of all did not exceed, within 5 %; 0 when there is none.

        Args:
            q: from 0 to 1, such as 0.99.
        """
        rank = max(q * self.count, 1)
        if rank > self.count:  # only when there is none
            return 0.0
        bucket = bisect_left(list(accumulate(self.counts)), rank)
        low = _BOUNDS[bucket - 1] if bucket else 0.0
        high = _BOUNDS[bucket] if bucket < len(_BOUNDS) else self.max
        # The value whose relative distance to both ends is the same.
        middle = 2 * low * high / (low + high) if low else high
        return min(max(middle, self.min), self.max)

    def cumulative(self, bounds: Sequence[float]) -> list[int]:
        """Return for each bound how many durations did not exceed it, as Prometheus and OpenTelemetry count.

        Args:
            bounds: seconds, ascending. The 1 and the 5 of every decade are exact; others round down to a bucket.
        """
        running = [0, *accumulate(self.counts)]
        return [running[bisect_right(_BOUNDS, bound)] for bound in bounds]
