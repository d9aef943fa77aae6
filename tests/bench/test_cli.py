from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from bench import report, sizes, tables
from bench.case import Case
from bench.cli import main
from bench.questions import QUESTIONS
from bench.report import Report
from bench.running import run
from tests.bench.conftest import answered

if TYPE_CHECKING:
    from bench.ground import Ground


@pytest.fixture
def saved(some_report: Report, tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    path.write_text(some_report.model_dump_json(), "utf-8")
    return path


async def test_a_run_asks_stamps_and_judges(server: str) -> None:
    seen: list[str] = []
    console = Console(file=io.StringIO())
    found = await run(["observer", "get"], server, sizes.TINY, console, lambda answer: seen.append(answer.question))
    assert seen == [answer.question for answer in found.answers] == ["observer", "get"]
    assert {verdict.question for verdict in found.verdicts} == {"observer", "get"}
    assert {
        "CPU",
        "cores",
        "Python",
        "PostgreSQL",
        "fsync",
        "synchronous_commit",
        "commit",
        "asyncpg",
        "sqlalchemy",
    } <= (set(found.environment))


async def test_the_bar_is_drawn_between_rounds_and_by_no_thread(server: str, monkeypatch) -> None:
    drawn = io.StringIO()
    threads: set[str] = set()
    seen: list[str] = []

    async def watching(ground: Ground):
        async def work() -> dict[str, float]:
            threads.update(type(each).__name__ for each in threading.enumerate())
            seen.append(drawn.getvalue())
            return {"time": 1.0}

        yield Case("watched", {"ours": work})

    monkeypatch.setitem(QUESTIONS, "watch", watching)
    watching.__doc__ = "What runs beside a round?"
    await run(["watch"], server, sizes.TINY, Console(file=drawn, force_terminal=True), lambda _: None)
    assert "_RefreshThread" not in threads  # rich's
    assert "watched" in seen[0]
    assert len(set(seen)) == len(seen) == sizes.TINY.rounds + 1


def test_an_earlier_run_is_shown_again(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again, html = tmp_path / "again.json", tmp_path / "page.html"
    status = main(["--show", str(saved), "--compare", str(saved), "--json", str(again), "--html", str(html)])
    printed = capsys.readouterr().out
    assert status == 1  # one of its questions failed
    assert "skipped: no pgbench" in printed
    assert "failed: OSError" in printed
    assert "nothing moved beyond the noise" in printed
    assert "get ≤ 1.3 × raw" in printed
    assert again.read_text("utf-8").startswith("{")
    assert html.read_text("utf-8").startswith("<!doctype html>")


def test_a_run_without_failures_succeeds(tmp_path: Path, some_report: Report, capsys) -> None:
    path = tmp_path / "run.json"
    path.write_text(some_report.model_copy(update={"answers": some_report.answers[:1]}).model_dump_json(), "utf-8")
    assert main(["--show", str(path)]) == 0


def test_an_unknown_question_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["nonsense"])
    assert stopped.value.code == 2
    assert "no such question: nonsense; there are crud, batch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value", "size"),
    [
        ("QUICK", "1", sizes.QUICK),
        ("FULL", "1", sizes.FULL),
        ("QUICK", "0", sizes.DEFAULT),
        ("FULL", "", sizes.DEFAULT),
    ],
)
def test_the_environment_says_how_much(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, size) -> None:
    monkeypatch.delenv("QUICK", raising=False)
    monkeypatch.delenv("FULL", raising=False)
    monkeypatch.setenv(variable, value)
    assert sizes.from_environment() is size


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1.5, "1.5 s"), (0.0123, "12.3 ms"), (1.234e-4, "123 µs"), (5e-6, "5 µs"), (2e-9, "2 ns"), (0, "0 ns")],
)
def test_times_have_three_digits_and_a_fitting_unit(seconds: float, said: str) -> None:
    assert tables.duration(seconds) == said


def test_tables_fit_a_terminal_of_eighty_columns(some_report: Report) -> None:
    console = Console(file=io.StringIO(), width=80)
    for answer in [*some_report.answers, answered("empty")]:
        for part in tables.answer_tables(answer):
            console.print(part)
    console.print(tables.verdict_table(some_report.verdicts))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, written.splitlines())) <= 80
    assert "…" not in written


async def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}", "utf-8")
    with pytest.raises(ValueError, match="validation error"):
        await report.read(tmp_path / "other.json")
