"""What is known of a database, as OpenTelemetry's conventions name it. Needs the extra ``opentelemetry``.

https://opentelemetry.io/docs/specs/semconv/database/
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from weakref import WeakSet

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind, Status, StatusCode

from agentmem_store.address import options
from agentmem_store.telemetry.exposed import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue

    from agentmem_store.telemetry.exposed import Exposed
    from agentmem_store.telemetry.observer import Observer, Statement

    Attributes = dict[str, AttributeValue]

__all__ = ["instrument"]

_SCOPE: Final = "agentmem_store"
_DEFAULT_PORT: Final = 5432

_instrumented: Final[WeakSet[Observer]] = WeakSet()


def instrument(
    database: Exposed,
    *,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    spans: bool = True,
) -> None:
    """Have the metrics of a database, and a span for each statement, sent wherever the application sends its own.

    It lasts for as long as the database object does, whatever is closed and opened again: instruments cannot be taken
    back, so that another call for the same database changes nothing. No attribute carries an argument or a row.

    Args:
        database: an open `agentmem_store.Database`.
        meter_provider: where metrics go; None for the application's global provider.
        tracer_provider: where spans go; None for the application's global provider.
        spans: whether there is a span for each statement.

    Raises:
        UsageError: the database is not open.
    """
    where = _server(database.dsn)
    if database.observer in _instrumented:
        return
    _instrumented.add(database.observer)
    meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
    pool_name = str(where["db.namespace"])
    _observe_pool(meter, database, pool_name)
    _forward_times(meter, database, pool_name)
    database.observer.listeners.append(_durations(meter, where))
    if spans:
        database.observer.listeners.append(_spans(trace.get_tracer(_SCOPE, tracer_provider=tracer_provider), where))


def _server(dsn: str) -> Attributes:
    """Return which database this is. Of several hosts none is named: which of them answers changes."""
    parts, more = urlsplit(dsn), options(dsn)
    where: Attributes = {"db.system.name": "postgresql", "db.namespace": f"{parts.path[1:]}|agentmem"}
    hosts = parts.netloc.rpartition("@")[2] or more.get("host", "")
    if hosts.startswith("/"):
        where["server.address"] = hosts  # the directory of a Unix socket
    elif hosts and "," not in hosts:
        host = urlsplit(f"//{hosts}")
        where["server.address"] = host.hostname or ""
        where["server.port"] = host.port or int(more.get("port", _DEFAULT_PORT))
    return where


def _observe_pool(meter: Meter, database: Exposed, pool_name: str) -> None:
    named: Attributes = {"db.client.connection.pool.name": pool_name}

    def number(of: Callable[[Any], int]) -> list[Callable[[CallbackOptions], Iterator[Observation]]]:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            yield Observation(of(database.stats()), named)

        return [observe]

    def by_state(_: CallbackOptions) -> Iterator[Observation]:
        stats = database.stats()
        for state, count in (("idle", stats.idle), ("used", stats.in_use)):
            yield Observation(count, {**named, "db.client.connection.state": state})

    minimum = database.pool.config.min_size
    make = meter.create_observable_up_down_counter
    make("db.client.connection.count", [by_state], "{connection}", "Connections by state.")
    make("db.client.connection.max", number(lambda stats: stats.max_size), "{connection}", "Connections at most.")
    make("db.client.connection.idle.max", number(lambda stats: stats.max_size), "{connection}", "Idle ones at most.")
    make("db.client.connection.idle.min", number(lambda _: minimum), "{connection}", "Connections kept open.")
    make("db.client.connection.pending_requests", number(lambda stats: stats.waiting), "{request}", "Callers waiting.")
    timeouts = number(lambda stats: stats.timeouts)
    meter.create_observable_counter("db.client.connection.timeouts", timeouts, "{timeout}", "Callers who gave up.")


def _forward_times(meter: Meter, database: Exposed, pool_name: str) -> None:
    """Have what the pool's histograms record recorded in those of the conventions, too."""
    named: Attributes = {"db.client.connection.pool.name": pool_name}
    counters = database.pool.counters
    for histogram, name, description in (
        (counters.wait, "wait_time", "Time to get a connection of the pool."),
        (counters.use, "use_time", "Time from getting a connection to giving it back."),
        (counters.connect, "create_time", "Time to open a connection."),
    ):
        theirs = _histogram(meter, f"db.client.connection.{name}", description)
        histogram.forward = partial(theirs.record, attributes=named)


def _durations(meter: Meter, where: Attributes) -> Callable[[Statement], None]:
    description = "Duration of statements, the wait for a connection included."
    durations = _histogram(meter, "db.client.operation.duration", description)

    def record(statement: Statement) -> None:
        durations.record(_seconds(statement), {**where, **_about(statement)})

    return record


def _histogram(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=BOUNDS)


def _spans(tracer: Tracer, where: Attributes) -> Callable[[Statement], None]:
    def record(statement: Statement) -> None:
        end = time.time_ns()
        attributes = {**where, **_about(statement), "db.query.text": statement.query.text}
        if statement.outcome == "ok":
            attributes["db.response.returned_rows"] = statement.rows
        start = end - round(_seconds(statement) * 1e9)
        span = tracer.start_span(statement.query.name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start)
        if statement.outcome == "failed":
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    return record


def _seconds(statement: Statement) -> float:
    return statement.wait_s + (statement.run_s or 0.0)


def _about(statement: Statement) -> Attributes:
    """Return what is told of a statement: its name, and how it failed."""
    told: Attributes = {"db.query.summary": statement.query.name}
    error = statement.error
    if error is not None:
        told["error.type"] = error.sqlstate or type(error).__name__
        if error.sqlstate:
            told["db.response.status_code"] = error.sqlstate
    elif statement.outcome == "cancelled":
        told["error.type"] = "cancelled"
    return told
