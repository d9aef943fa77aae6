"""What is known of a database, as Prometheus reads it. Needs the extra ``prometheus``."""

from __future__ import annotations

from dataclasses import fields
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from agentmem_store.telemetry.exposed import BOUNDS
from agentmem_store.telemetry.histogram import HistogramSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from agentmem_store.telemetry.exposed import Exposed
    from agentmem_store.telemetry.queries import QueryStats, StatementStats

__all__ = ["collector", "text"]

_MOST_QUERIES: Final = 1000  # above what is ever kept

# Of the pool's numbers, those that go down again. The others only ever grow.
_GAUGES: Final = frozenset({"size", "idle", "in_use", "checking", "opening", "waiting", "max_size"})


def collector(database: Exposed) -> Collector:
    """Return a collector to register: ``prometheus_client.REGISTRY.register(collector(db))``.

    What it tells is read when it is scraped: no statement costs more, and no connection is used.

    Args:
        database: an `agentmem_store.Database`, open or not.
    """
    return _Collector(database)


def text(database: Exposed) -> str:
    """Return everything in the text format that Prometheus scrapes, for an application without a registry.

    Args:
        database: an `agentmem_store.Database`, open or not.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(database))
    return generate_latest(registry).decode()


class _Collector(Collector):
    def __init__(self, database: Exposed) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        stats = self._database.stats()
        queries = self._database.queries(order="total", limit=_MOST_QUERIES)
        return chain(_pool(stats), _statements(stats.statements), _queries(queries))

    def describe(self) -> Iterable[Metric]:
        return ()  # asked while it is being registered, when nothing is to be read yet


def _pool(stats: Any) -> Iterator[Metric]:
    """Tell every number of the pool under its own name, so that none can be forgotten."""
    for each in fields(stats):
        name, value = f"pool_{each.name}", getattr(stats, each.name)
        if isinstance(value, HistogramSnapshot):
            yield _family(HistogramMetricFamily, f"{name}_seconds", {"": value})
        elif isinstance(value, int):
            yield _family(GaugeMetricFamily if each.name in _GAUGES else CounterMetricFamily, name, {"": value})
    yield _family(CounterMetricFamily, "pool_closed_by", stats.closed_by, "reason")


def _statements(stats: StatementStats) -> Iterator[Metric]:
    ended = {"ok": stats.ok, "failed": stats.failed, "cancelled": stats.cancelled}
    yield _family(CounterMetricFamily, "statements", ended, "outcome")
    yield _family(CounterMetricFamily, "statements_started", {"": stats.started})
    yield _family(CounterMetricFamily, "statements_slow", {"": stats.slow})
    yield _family(CounterMetricFamily, "statement_errors", stats.errors, "kind")
    yield _family(CounterMetricFamily, "statement_timeouts", stats.timeouts, "cause")


def _queries(queries: list[QueryStats]) -> Iterator[Metric]:
    def by_query(number: str) -> dict[str, Any]:
        return {stats.query: getattr(stats, number) for stats in queries}

    for number in ("rows", "errors", "cancelled", "slow"):
        yield _family(CounterMetricFamily, f"query_{number}", by_query(number), "query")
    waits = {stats.query: stats.wait.total for stats in queries}
    yield _family(CounterMetricFamily, "query_wait_seconds", waits, "query")
    yield _family(HistogramMetricFamily, "query_run_seconds", by_query("run"), "query")


def _family(kind: type[Any], name: str, values: Mapping[Any, Any], label: str | None = None) -> Metric:
    """Make a metric of one value, or of one for each value of a label."""
    family: Any = kind(f"agentmem_{name}", "See docs/operations.md.", labels=[label] if label else [])
    for value, number in values.items():
        told = _buckets(number) if isinstance(number, HistogramSnapshot) else [number]
        family.add_metric([value] if label else [], *told)
    return cast("Metric", family)


def _buckets(seen: HistogramSnapshot) -> tuple[list[tuple[str, float]], float]:
    counts = zip(map(str, map(float, BOUNDS)), seen.cumulative(BOUNDS), strict=True)
    return [*counts, ("+Inf", seen.count)], seen.total
