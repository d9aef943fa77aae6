"""A filled database for tiny questions, and reports that look like real ones."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from bench import ground
from bench.report import Answer, Case, Contender, Report
from bench.sizes import TINY
from bench.targets import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.ground import Ground


# The header of the test report says so (tests/conftest.py).
collect_ignore_glob = ["test_*.py"] if find_spec("langgraph") is None else []


@pytest.fixture(scope="session")
def filled(server: str) -> Iterator[Ground]:
    """A database with a few rows of everything, to copy."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(ground.opened(server, TINY)) as opened:
        yield opened


def made(name: str, *rounds: float) -> Contender:
    """A contender with these times, and latencies that go with them."""
    return Contender(name=name, rounds={"time": [*rounds], "p50": [*rounds], "p99": [3 * each for each in rounds]})


def answered(question: str, *cases: Case, **more: str) -> Answer:
    return Answer(question=question, asks=f"How about {question}?", seconds=1.5, cases=list(cases), **more)


def report(*answers: Answer) -> Report:
    return Report(
        taken_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        size="tiny",
        environment={"CPU": "a processor", "commit": "abc"},
        answers=list(answers),
        verdicts=judge(answers),
    )


@pytest.fixture
def some_report() -> Report:
    """Bars, lines, a count, a question that was skipped and one that failed."""
    got = Case(name="get an agent", contenders=[made("ours", 1e-4, 1.1e-4), made("raw", 1e-4, 1e-4)])
    bulk = [
        Case(
            name=f"batches of {n}, each memory",
            at=n,
            contenders=[made("ours", 1 / n, 1.1 / n), made("raw", 2 / n, 2 / n)],
        )
        for n in (1, 10)
    ]
    counted = Case(name="statements sent", contenders=[Contender(name="ours", rounds={"count": [1, 1]})])
    return report(
        answered("get", got),
        answered("bulk", *bulk),
        answered("context", counted),
        answered("ceiling", skipped="no pgbench"),
        answered("recent", failed="OSError: <nobody> & nothing"),
    )
