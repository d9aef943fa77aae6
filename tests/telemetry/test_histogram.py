from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem_store.telemetry import Histogram

# The bounds that OpenTelemetry's conventions ask for.
BOUNDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
SECONDS = st.floats(min_value=1e-6, max_value=1e3)


def recorded(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.lists(SECONDS, min_size=1, max_size=200), st.floats(min_value=0, max_value=1))
def test_a_quantile_is_within_five_percent(values: list[float], q: float) -> None:
    exact = sorted(values)[max(math.ceil(q * len(values)), 1) - 1]
    assert recorded(values).snapshot().quantile(q) == pytest.approx(exact, rel=0.05)


@given(st.lists(SECONDS | st.sampled_from(BOUNDS), max_size=200))
def test_counts_at_the_conventional_bounds_are_exact(values: list[float]) -> None:
    expected = [sum(value <= bound for value in values) for bound in BOUNDS]
    assert recorded(values).snapshot().cumulative(BOUNDS) == expected


@given(st.lists(SECONDS, min_size=1))
def test_count_total_min_max_and_mean_are_those_of_the_values(values: list[float]) -> None:
    snapshot = recorded(values).snapshot()
    assert (snapshot.count, snapshot.min, snapshot.max) == (len(values), min(values), max(values))
    assert snapshot.total == pytest.approx(sum(values))
    assert snapshot.mean == pytest.approx(sum(values) / len(values))


def test_of_nothing_everything_is_zero() -> None:
    snapshot = Histogram().snapshot()
    assert (snapshot.count, snapshot.total, snapshot.min, snapshot.max, snapshot.mean) == (0, 0, 0, 0, 0)
    assert (snapshot.p50, snapshot.p95, snapshot.p99, snapshot.quantile(0), snapshot.quantile(1)) == (0, 0, 0, 0, 0)
    assert snapshot.cumulative(BOUNDS) == [0] * len(BOUNDS)


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e6])
def test_what_lies_outside_the_range_is_counted_and_bounded_by_min_and_max(value: float) -> None:
    snapshot = recorded([value]).snapshot()
    assert snapshot.count == 1
    assert snapshot.p50 == value


def test_a_snapshot_does_not_change_afterwards() -> None:
    histogram = recorded([0.5])
    before = histogram.snapshot()
    histogram.record(2.0)
    assert (before.count, before.max) == (1, 0.5)
    assert histogram.snapshot().count == 2


def test_memory_does_not_grow_with_what_is_recorded() -> None:
    histogram = recorded([1e-6 * 1.01**n for n in range(2_000)])
    assert len(histogram.snapshot().counts) == len(Histogram().snapshot().counts) < 250


def test_each_duration_is_forwarded_as_it_is() -> None:
    seen: list[float] = []
    histogram = Histogram()
    histogram.forward = seen.append
    histogram.record(0.25)
    histogram.record(0.5)
    assert seen == [0.25, 0.5]
