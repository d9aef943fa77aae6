"""Asking questions, one after another, while a bar shows how far it is."""

from __future__ import annotations

import time
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import ground, report
from bench.environment import stamp
from bench.questions import QUESTIONS, asks
from bench.targets import judge
from bench.timing import interleave

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.progress import TaskID

    from bench.case import Case
    from bench.ground import Ground
    from bench.sizes import Size

__all__ = ["ask", "run"]


async def run(
    names: Sequence[str], dsn: str, size: Size, console: Console, on_answer: Callable[[report.Answer], object]
) -> report.Report:
    """Ask questions on a server and return what was found.

    Args:
        names: of questions.
        dsn: of the server; its user may create databases.
        size: how much to do.
        console: where the bar is drawn.
        on_answer: called with each answer as it comes.
    """
    began = datetime.now(UTC)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # By itself it would be drawn ten times in a second, by a thread that takes the time from what is measured.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        overall = progress.add_task("filling a database", total=len(names))
        async with ground.opened(dsn, size) as filled:
            environment = await stamp(filled.server, size)
            answers: list[report.Answer] = []
            for name in names:
                progress.update(overall, description=name, refresh=True)
                answers.append(await ask(name, filled, progress))
                on_answer(answers[-1])
                progress.advance(overall)
    return report.Report(
        taken_at=began, size=size.name, environment=environment, answers=answers, verdicts=judge(answers)
    )


async def ask(name: str, filled: Ground, progress: Progress | None = None) -> report.Answer:
    """Ask one question. What goes wrong is part of the answer: the others are asked all the same."""
    began, cases, skipped, failed = time.perf_counter(), [], None, None
    try:
        async with aclosing(QUESTIONS[name](filled)) as asked:
            async for case in asked:
                cases.append(await _measure(case, filled.size.rounds, progress))  # noqa: PERF401 - kept if one fails
    except ground.Skipped as reason:
        skipped = str(reason)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises
        failed = f"{type(error).__name__}: {error}".splitlines()[0]
    return report.Answer(
        question=name, asks=asks(name), seconds=time.perf_counter() - began,
        cases=cases, skipped=skipped, failed=failed,
    )  # fmt: skip


async def _measure(case: Case, rounds: int, progress: Progress | None) -> report.Case:
    progress = progress or Progress(disable=True)
    task = progress.add_task(f"  {case.name}", total=(rounds + 1) * len(case.contenders))
    found = await interleave(case.contenders, rounds=rounds, on_round=partial(_advance, progress, task))
    progress.remove_task(task)
    contenders = [report.Contender(name=name, rounds=figures) for name, figures in found.items()]
    return report.Case(name=case.name, at=case.at, contenders=contenders)


def _advance(progress: Progress, task: TaskID) -> None:
    progress.advance(task)
    progress.refresh()
