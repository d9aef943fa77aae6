"""The observer by itself: accounts that add up, bounded memory, the rate of slow events, shapes without values."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from agentmem_store import errors
from agentmem_store.query import Query
from agentmem_store.telemetry import Observer, Statement
from agentmem_store.telemetry.slow import caller, shape

NEVER_SLOW = 1e9
PING = Query("test.ping", int, "SELECT 1")
OTHER = Query("test.other", int, "SELECT 2")


class Clock:
    """A monotonic clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(observer: Observer, query: Query[int] = PING, *, seconds: float = 0.001, times: int = 1) -> None:
    for _ in range(times):
        observer.started()
        observer.finished(query, wait_s=0.0, run_s=seconds, rows=1)


def test_totals_add_up() -> None:
    observer = Observer(NEVER_SLOW)
    run(observer, times=3)
    observer.started()
    assert observer.statements().running == 1
    observer.failed(PING, errors.LockTimeout("held", sqlstate="55P03"))
    observer.started()
    observer.cancelled(PING, wait_s=0.1)
    totals = observer.statements()
    assert (totals.started, totals.ok, totals.failed, totals.cancelled, totals.running) == (5, 3, 1, 1, 0)
    assert (dict(totals.errors), dict(totals.timeouts)) == ({"55": 1}, {"lock": 1})


def test_errors_are_told_by_sqlstate_class_and_timeouts_by_cause() -> None:
    observer = Observer(NEVER_SLOW)
    observer.failed(PING, errors.StatementTimeout("late", sqlstate="57014"))
    observer.failed(PING, errors.StatementTimeout("late"))
    observer.failed(PING, errors.PoolTimeout(1, size=1, in_use=1, waiting=1))
    observer.failed(PING, errors.ConstraintViolation("no", sqlstate="23503"))
    observer.failed(PING, errors.Conflict("no"))
    totals = observer.statements()
    assert dict(totals.errors) == {"57": 1, "StatementTimeout": 1, "PoolTimeout": 1, "23": 1, "Conflict": 1}
    assert dict(totals.timeouts) == {"statement": 2, "acquire": 1}


def test_what_the_driver_raised_comes_back_as_ours() -> None:
    failure = Observer(NEVER_SLOW).failed(PING, TimeoutError())
    assert isinstance(failure, errors.StatementTimeout)
    assert failure.query == "test.ping"
    assert Observer(NEVER_SLOW).failed(PING, failure) is failure


def test_a_query_has_calls_rows_errors_and_both_times() -> None:
    observer = Observer(NEVER_SLOW)
    observer.finished(PING, wait_s=0.5, run_s=0.010, rows=3)
    observer.finished(PING, wait_s=0.0, run_s=0.030, rows=4)
    observer.failed(PING, TimeoutError(), wait_s=0.0, run_s=2.0)
    observer.cancelled(PING, wait_s=1.0)  # while it waited: it was not sent
    (stats,) = observer.queries()
    assert (stats.query, stats.calls, stats.rows, stats.errors, stats.cancelled) == ("test.ping", 4, 7, 1, 1)
    assert (stats.run.count, stats.run.min, stats.run.max) == (3, 0.010, 2.0)
    assert (stats.wait.count, stats.wait.max, stats.wait.total) == (4, 1.0, 1.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.calls = 0  # type: ignore[misc]


def test_queries_are_ranked_by_mean_by_calls_and_by_total_time() -> None:
    observer = Observer(NEVER_SLOW)
    rare, often, most = (Query(f"test.{name}", int, "SELECT 1") for name in ("rare", "often", "most"))
    run(observer, rare, seconds=0.5)
    run(observer, often, seconds=0.001, times=100)
    run(observer, most, seconds=0.1, times=10)

    def names(order: str, limit: int = 10) -> list[str]:
        return [stats.query.removeprefix("test.") for stats in observer.queries(order=order, limit=limit)]  # type: ignore[arg-type]

    assert names("slowest") == ["rare", "most", "often"]
    assert names("frequent") == ["often", "most", "rare"]
    assert names("total") == ["most", "rare", "often"]
    assert names("total", limit=1) == ["most"]
    with pytest.raises(errors.ValidationError, match="order"):
        names("fastest")


def test_a_reset_forgets_queries_and_keeps_totals() -> None:
    observer = Observer(NEVER_SLOW)
    run(observer)
    observer.reset()
    assert observer.queries() == []
    run(observer)
    assert [stats.calls for stats in observer.queries()] == [1]
    assert observer.statements().ok == 2


def test_beyond_five_hundred_names_the_rest_is_counted_together() -> None:
    observer = Observer(NEVER_SLOW)
    for number in range(600):
        run(observer, Query(f"test.{number}", int, "SELECT 1"))
    stats = observer.queries(order="frequent", limit=1000)
    assert len(stats) == 501
    assert (stats[0].query, stats[0].calls) == ("_other", 100)
    assert sum(each.calls for each in stats) == observer.statements().ok == 600


def test_slow_events_of_a_query_come_once_a_second_and_count_the_suppressed() -> None:
    clock = Clock()
    observer = Observer(10, clock=clock)
    with capture_logs() as logs:
        run(observer, seconds=0.009)
        run(observer, seconds=0.011, times=5)
        run(observer, OTHER, seconds=0.011)
        clock.now = 1.0
        run(observer, seconds=0.011)
    assert [(event["query"], event["suppressed"]) for event in logs] == [
        ("test.ping", 0),
        ("test.other", 0),
        ("test.ping", 4),
    ]
    assert observer.statements().slow == 7
    assert {stats.query: stats.slow for stats in observer.queries()} == {"test.ping": 6, "test.other": 1}


def test_a_query_can_have_a_threshold_of_its_own() -> None:
    observer = Observer(10, {"test.ping": 100})
    with capture_logs() as logs:
        run(observer, seconds=0.050)
        run(observer, OTHER, seconds=0.050)
    assert [event["query"] for event in logs] == ["test.other"]


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_a_slow_statement_that_did_not_return_is_logged_too(outcome: str) -> None:
    observer = Observer(10)
    with capture_logs() as logs:
        if outcome == "failed":
            observer.failed(PING, TimeoutError(), run_s=0.5)
            observer.failed(OTHER, TimeoutError(), wait_s=0.5)  # never sent, so it did not run for long
        else:
            observer.cancelled(PING, run_s=0.5)
            observer.cancelled(OTHER, wait_s=0.5)
    assert [(event["query"], event["outcome"]) for event in logs] == [("test.ping", outcome)]


def test_listeners_get_every_statement() -> None:
    observer = Observer(NEVER_SLOW)
    seen: list[Statement] = []
    observer.listeners.append(seen.append)
    observer.finished(PING, wait_s=0.1, run_s=0.2, rows=3)
    failure = observer.failed(PING, TimeoutError(), wait_s=0.1)
    observer.cancelled(PING, run_s=0.3)
    assert seen == [
        Statement(PING, "ok", 0.1, 0.2, 3),
        Statement(PING, "failed", 0.1, None, 0, failure),
        Statement(PING, "cancelled", 0.0, 0.3, 0),
    ]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (None, "null"),
        ("hello", "text[5]"),
        (b"\x00\x01", "bytea[2]"),
        (True, "boolean"),
        (7, "integer"),
        (0.5, "float"),
        (UUID(int=1), "uuid"),
        (datetime(2024, 1, 1, tzinfo=UTC), "timestamptz"),
        (["a", "bc", "def"], "text[][3]"),
        ([None, UUID(int=1)], "uuid[][2]"),
        ([], "null[][0]"),
    ],
)
def test_an_argument_is_told_by_type_and_size(argument: object, expected: str) -> None:
    assert shape(argument) == expected


async def test_the_caller_is_found_through_awaits_and_tasks() -> None:
    async def inner() -> str | None:
        await asyncio.sleep(0)
        return caller()

    async def outer() -> str | None:
        return await inner()

    for found in (caller(), await outer(), await asyncio.create_task(outer())):
        assert found is not None
        assert found.startswith(f"{__name__}:")
