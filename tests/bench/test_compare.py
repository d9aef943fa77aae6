from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.compare import described, differences, moves
from bench.report import Case, Report
from tests.bench.conftest import answered, made, report

NOISE = (0.98, 1.0, 1.01, 1.02, 0.99)


def run(ours: float, *, raw: float | None = 1.0) -> Report:
    contenders = [made("ours", *(ours * each for each in NOISE))]
    if raw:
        contenders.append(made("raw", *(raw * each for each in NOISE)))
    return report(answered("get", Case(name="get an agent", contenders=contenders)))


def test_a_run_beside_itself_shows_nothing(some_report: Report) -> None:
    assert moves(some_report, some_report) == []
    assert differences(some_report, some_report) == []


def test_what_moved_is_shown_with_its_direction() -> None:
    slower, faster = moves(run(1), run(2)), moves(run(1), run(0.5))
    assert {move.figure for move in slower} == {move.figure for move in faster} == {"time", "p50", "p99"}
    assert all(move.change.low > 1 for move in slower)
    assert all(move.change.high < 1 for move in faster)
    assert described(slower[0]) == "get: get an agent, time of ours in multiples of raw"


@given(st.floats(0.1, 10))
def test_a_slower_machine_moves_nothing(slower: float) -> None:
    assert moves(run(1), run(slower, raw=slower)) == []


def test_where_nobody_else_took_part_times_are_compared() -> None:
    (first, *_) = moves(run(1, raw=None), run(3, raw=None))
    assert first.beside is None
    assert first.change.value == 3


def test_little_is_nothing_however_sure() -> None:
    assert moves(run(1), run(1.04)) == []


def test_what_one_run_did_not_ask_is_left_out() -> None:
    assert moves(report(), run(1)) == moves(run(1), report()) == []


def test_other_circumstances_are_named() -> None:
    old, new = run(1), run(1)
    new.environment["CPU"] = "another"
    assert differences(old, new) == ["CPU: a processor → another"]
