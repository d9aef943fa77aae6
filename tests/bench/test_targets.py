from __future__ import annotations

import pytest

from bench.questions import QUESTIONS
from bench.report import Case, Verdict
from bench.tables import outcome
from bench.targets import TARGETS, judge
from tests.bench.conftest import answered, made


def verdicts(*contenders: tuple[str, float, float]) -> dict[str, Verdict]:
    case = Case(name="get an agent", contenders=[made(*each) for each in contenders])
    return {verdict.target: verdict for verdict in judge([answered("get", case)])}


def test_each_target_belongs_to_a_question_and_has_one_bound() -> None:
    for target in TARGETS:
        assert target.question in QUESTIONS
        assert (target.at_most is None) != (target.at_least is None)
    assert len({target.text for target in TARGETS}) == len(TARGETS)


def test_a_limit_is_met_from_below_and_a_lead_from_above() -> None:
    found = verdicts(("ours", 1.2, 1.2), ("raw", 1, 1), ("idiom", 2.4, 2.4), ("ORM", 8, 8))
    assert found["get ≤ 1.3 × raw"].value == pytest.approx(1.2)
    assert [outcome(verdict) for verdict in found.values()] == ["met", "missed by 13%", "met"]


def test_close_to_the_bound_is_within_the_noise() -> None:
    found = verdicts(("ours", 1.2, 1.5), ("raw", 1, 1))["get ≤ 1.3 × raw"]
    assert found.met is False
    assert outcome(found).endswith("within the noise")


def test_what_was_not_measured_is_not_judged() -> None:
    found = verdicts(("ours", 1, 1), ("raw", 1, 1))["get ≥ 6 × faster than the ORM"]
    assert (found.value, found.met, found.missed_by, outcome(found)) == (None, None, None, "not measured")


def test_a_question_that_was_not_asked_has_no_verdict() -> None:
    assert judge([]) == []


def test_growth_is_the_largest_beside_the_smallest() -> None:
    case = Case(name="get", contenders=[made("10 rows", 1, 1), made("20 rows", 9, 9), made("30 rows", 2, 2)])
    found = judge([answered("growth", case)])[0]
    assert found.value == 2
    assert found.measured == "get: 30 rows p50 / 10 rows p50"


def test_times_are_judged_in_the_unit_of_the_target() -> None:
    case = Case(name="observe a statement", contenders=[made("ours", 4e-6, 4e-6)])
    found = judge([answered("observer", case)])[0]
    assert found.value == pytest.approx(4)
    assert (found.unit, found.met) == ("µs", True)
