from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import db_attributes
from opentelemetry.semconv._incubating.metrics import db_metrics
from opentelemetry.semconv.attributes import error_attributes, server_attributes
from opentelemetry.semconv.metrics.db_metrics import DB_CLIENT_OPERATION_DURATION
from opentelemetry.trace import SpanKind, StatusCode

from agentmem_store import errors
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.query import Query
from agentmem_store.repositories import agents, organizations
from agentmem_store.telemetry import opentelemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from agentmem_store.scope import Scope

BROKEN = Query("test.broken", int, "SELECT 1 FROM agentmem.no_such_table")
BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)

# As the conventions have them: which instrument, and which unit. The package has them in its docstrings only.
INSTRUMENTS = {
    DB_CLIENT_OPERATION_DURATION: ("Histogram", "s"),
    db_metrics.DB_CLIENT_CONNECTION_COUNT: ("Sum", "{connection}"),
    db_metrics.DB_CLIENT_CONNECTION_MAX: ("Sum", "{connection}"),
    db_metrics.DB_CLIENT_CONNECTION_IDLE_MAX: ("Sum", "{connection}"),
    db_metrics.DB_CLIENT_CONNECTION_IDLE_MIN: ("Sum", "{connection}"),
    db_metrics.DB_CLIENT_CONNECTION_PENDING_REQUESTS: ("Sum", "{request}"),
    db_metrics.DB_CLIENT_CONNECTION_TIMEOUTS: ("Sum", "{timeout}"),
    db_metrics.DB_CLIENT_CONNECTION_CREATE_TIME: ("Histogram", "s"),
    db_metrics.DB_CLIENT_CONNECTION_WAIT_TIME: ("Histogram", "s"),
    db_metrics.DB_CLIENT_CONNECTION_USE_TIME: ("Histogram", "s"),
}


class Collected:
    """An SDK of its own for one test, to which a database sends."""

    def __init__(self, db: Database) -> None:
        self._reader, self._exporter = InMemoryMetricReader(), InMemorySpanExporter()
        self.meters = MeterProvider([self._reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        opentelemetry.instrument(db, meter_provider=self.meters, tracer_provider=self.tracers)

    def metrics(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        scopes = data.resource_metrics[0].scope_metrics if data else []
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> list[Any]:
        return list(self.metrics()[name].data.data_points)

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def collected(db: Database) -> Iterator[Collected]:
    collected = Collected(db)
    yield collected
    collected.meters.shutdown()
    collected.tracers.shutdown()


@pytest.mark.own_sessions
async def test_names_units_and_instruments_are_those_of_the_conventions(collected: Collected, tenant: Scope) -> None:
    async with tenant.transaction():  # holds a connection, so that another has to be opened
        await agents.create(tenant, NewAgent(name="planner"))
    metrics = collected.metrics()
    told = {name: (type(metric.data).__name__, metric.unit) for name, metric in metrics.items()}
    assert told == INSTRUMENTS
    assert not metrics[db_metrics.DB_CLIENT_CONNECTION_COUNT].data.is_monotonic
    assert metrics[db_metrics.DB_CLIENT_CONNECTION_TIMEOUTS].data.is_monotonic
    for name, (kind, _) in INSTRUMENTS.items():
        assert kind == "Sum" or {point.explicit_bounds for point in collected.points(name)} == {BOUNDS}


async def test_the_duration_of_a_statement_has_the_attributes_of_the_conventions(
    collected: Collected, db: Database
) -> None:
    assert await organizations.count(db) == 0
    with pytest.raises(errors.DatabaseError):
        await db.fetch_all(BROKEN)
    fine, failed = collected.points(DB_CLIENT_OPERATION_DURATION)
    where = {
        db_attributes.DB_SYSTEM_NAME: "postgresql",
        db_attributes.DB_NAMESPACE: f"{urlsplit(db.dsn).path[1:]}|agentmem",
    }
    server = {server_attributes.SERVER_ADDRESS, server_attributes.SERVER_PORT}
    seen = {key: value for key, value in fine.attributes.items() if key not in server}
    assert (seen, fine.count) == ({**where, db_attributes.DB_QUERY_SUMMARY: "organizations.count"}, 1)
    assert failed.attributes[error_attributes.ERROR_TYPE] == "42P01"
    assert failed.attributes[db_attributes.DB_RESPONSE_STATUS_CODE] == "42P01"


async def test_the_pool_is_told_as_it_is(collected: Collected, db: Database) -> None:
    async with db.connection():
        counts = {
            point.attributes[db_attributes.DB_CLIENT_CONNECTION_STATE]: point.value
            for point in collected.points(db_metrics.DB_CLIENT_CONNECTION_COUNT)
        }
        assert counts == {"idle": db.stats().idle, "used": 1}
        (limit,) = collected.points(db_metrics.DB_CLIENT_CONNECTION_MAX)
        (floor,) = collected.points(db_metrics.DB_CLIENT_CONNECTION_IDLE_MIN)
    assert (limit.value, floor.value) == (db.stats().max_size, db.pool.config.min_size)
    (used,) = collected.points(db_metrics.DB_CLIENT_CONNECTION_USE_TIME)
    assert used.count == 1
    assert set(used.attributes) == {db_attributes.DB_CLIENT_CONNECTION_POOL_NAME}


async def test_a_statement_is_a_span_within_the_callers_own(collected: Collected, db: Database) -> None:
    tracer = trace.get_tracer("application", tracer_provider=collected.tracers)
    with tracer.start_as_current_span("request") as request:
        assert await organizations.count(db) == 0
    span = next(span for span in collected.spans() if span.name == "organizations.count")
    assert (span.kind, span.status.status_code) == (SpanKind.CLIENT, StatusCode.UNSET)
    assert span.parent
    assert span.parent.span_id == request.get_span_context().span_id
    assert span.start_time
    assert span.end_time
    assert span.start_time < span.end_time
    assert span.attributes
    assert str(span.attributes[db_attributes.DB_QUERY_TEXT]).startswith("-- name: organizations.count\n")
    assert span.attributes[db_attributes.DB_RESPONSE_RETURNED_ROWS] == 1


async def test_a_failed_statement_is_a_failed_span(collected: Collected, db: Database) -> None:
    with pytest.raises(errors.DatabaseError):
        await db.fetch_all(BROKEN)
    (span,) = collected.spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes
    assert span.attributes[error_attributes.ERROR_TYPE] == "42P01"
    assert not span.events  # a recorded exception would carry its whole text


async def test_spans_can_be_left_out(db: Database) -> None:
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    opentelemetry.instrument(db, meter_provider=MeterProvider(), tracer_provider=tracers, spans=False)
    await organizations.count(db)
    assert exporter.get_finished_spans() == ()


async def test_closed_and_opened_again_everything_is_told_once(collected: Collected, db: Database) -> None:
    await db.close()
    await db.open()
    opentelemetry.instrument(db, meter_provider=collected.meters, tracer_provider=collected.tracers)
    await organizations.count(db)
    assert [span.name for span in collected.spans()] == ["organizations.count"]
    (told,) = collected.points(DB_CLIENT_OPERATION_DURATION)
    (waited,) = collected.points(db_metrics.DB_CLIENT_CONNECTION_WAIT_TIME)
    (used,) = collected.points(db_metrics.DB_CLIENT_CONNECTION_USE_TIME)
    assert (told.count, waited.count, used.count) == (1, 2, 2)  # opening looks at the server's settings once


async def test_it_needs_an_open_database() -> None:
    with pytest.raises(errors.UsageError):
        opentelemetry.instrument(Database("postgresql://nobody@127.0.0.1:1/none"))


@pytest.mark.parametrize(
    ("dsn", "address"),
    [
        ("postgresql://me:secret@db.example:6432/app", ("db.example", 6432)),
        ("postgresql://me:secret@db.example/app", ("db.example", 5432)),
        ("postgresql://me:secret@[::1]:6432/app", ("::1", 6432)),
        ("postgresql:///app?host=db.example&port=6432", ("db.example", 6432)),
        ("postgresql://me:secret@/app?host=/run/postgresql", ("/run/postgresql", None)),
        ("postgresql://me:secret@one,two/app", (None, None)),
    ],
)
def test_the_server_is_named_without_user_or_password(dsn: str, address: tuple[str | None, int | None]) -> None:
    where = opentelemetry._server(dsn)
    assert (where.get("server.address"), where.get("server.port")) == address
    assert where["db.namespace"] == "app|agentmem"
    assert "secret" not in repr(where)
