from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import figures

TIMES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=12)
PAIRS = st.lists(st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)), min_size=1, max_size=12)


@given(TIMES)
def test_a_median_lies_within_its_interval_and_that_within_the_rounds(rounds: list[float]) -> None:
    found = figures.median(rounds)
    assert found.value == pytest.approx(statistics.median(rounds))
    assert min(rounds) <= found.low <= found.value <= found.high <= max(rounds)


@given(TIMES)
def test_a_contender_beside_itself_is_one_for_sure(rounds: list[float]) -> None:
    assert figures.ratio(rounds, rounds) == (1, 1, 1)


@given(PAIRS)
def test_a_ratio_lies_within_its_interval(pairs: list[tuple[float, float]]) -> None:
    over, under = zip(*pairs, strict=True)
    found = figures.ratio(over, under)
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(statistics.median(over) / statistics.median(under))


@given(PAIRS, st.floats(0.01, 100))
def test_a_ratio_does_not_depend_on_the_machine(pairs: list[tuple[float, float]], slower: float) -> None:
    over, under = zip(*pairs, strict=True)
    found = figures.ratio([slower * each for each in over], [slower * each for each in under])
    assert found == pytest.approx(figures.ratio(over, under))


@given(PAIRS)
def test_what_slows_a_round_down_slows_both_down(pairs: list[tuple[float, float]]) -> None:
    """Twice the time in every round is twice the time for sure, however much the rounds differ."""
    rounds = [first for first, _ in pairs]
    assert figures.ratio([2 * each for each in rounds], rounds) == pytest.approx((2, 2, 2))


def test_contenders_of_one_run_have_as_many_rounds() -> None:
    with pytest.raises(ValueError, match="same number"):
        figures.ratio([1, 2], [1])


@given(TIMES, TIMES, st.floats(0.01, 100))
def test_a_change_beside_a_yardstick_leaves_the_machine_out(old: list[float], new: list[float], slower: float) -> None:
    on_it = figures.change(old, [slower * each for each in new], [1.0] * 3, [slower] * 3)
    assert on_it == pytest.approx(figures.change(old, new))


@given(TIMES)
def test_the_same_rounds_give_the_same_figures(rounds: list[float]) -> None:
    assert figures.median(rounds) == figures.median(list(rounds))


def test_spread_is_half_the_quartiles_distance_as_a_part_of_the_median() -> None:
    assert figures.spread([1, 2, 3, 4, 5]) == pytest.approx(1 / 3)
    assert figures.spread([2]) == 0
