from __future__ import annotations

import json
from pathlib import Path

import pydantic
import pytest

from bench import report
from bench.report import Contender, Report
from tests.bench.conftest import made


async def test_what_is_written_is_read_again(some_report: Report, tmp_path: Path) -> None:
    await report.write(some_report, tmp_path / "out.json")
    assert await report.read(tmp_path / "out.json") == some_report


async def test_the_file_has_each_round_of_each_contender(some_report: Report, tmp_path: Path) -> None:
    await report.write(some_report, tmp_path / "out.json")
    data = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert set(data) == {"format", "taken_at", "size", "environment", "answers", "verdicts"}
    assert data["format"] == 1
    ours, raw = data["answers"][0]["cases"][0]["contenders"]
    assert (ours["name"], raw["name"]) == ("ours", "raw")
    assert ours["rounds"]["time"] == [1e-4, 1.1e-4]


@pytest.mark.parametrize("rounds", [{"time": []}, {"time": [float("nan")]}, {"time": [float("inf")]}])
def test_a_figure_is_a_number(rounds: dict[str, list[float]]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Contender(name="ours", rounds=rounds)


def test_a_file_of_another_format_is_refused(some_report: Report) -> None:
    data = some_report.model_dump(mode="json")
    for other in ({**data, "format": 2}, {**data, "more": 1}):
        with pytest.raises(pydantic.ValidationError):
            Report.model_validate(other)


def test_a_contender_is_found_by_name_and_by_place(some_report: Report) -> None:
    case = some_report.answers[0].cases[0]
    assert case.contender("raw") == case.contender(-1) == made("raw", 1e-4, 1e-4)
    assert case.rounds("nobody", "time") is None
    assert case.rounds("raw", "count") is None
