"""What the expositions read of a database, and the buckets they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from agentmem_store.config import PoolConfig
    from agentmem_store.telemetry.histogram import Histogram
    from agentmem_store.telemetry.observer import Observer
    from agentmem_store.telemetry.queries import Order, QueryStats

__all__ = ["BOUNDS", "Exposed"]

# Seconds, as OpenTelemetry's conventions have them for db.client.operation.duration.
BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)


class Counters(Protocol):
    """`agentmem_store.pool.stats.Counters`."""

    wait: Histogram
    use: Histogram
    connect: Histogram


class Pool(Protocol):
    """`agentmem_store.pool.PoolManager`."""

    @property
    def config(self) -> PoolConfig: ...
    @property
    def counters(self) -> Counters: ...


class Exposed(Protocol):
    """`agentmem_store.Database`, which is of a layer above this one."""

    @property
    def dsn(self) -> str: ...  # noqa: D102
    @property
    def pool(self) -> Pool: ...  # noqa: D102
    @property
    def observer(self) -> Observer: ...  # noqa: D102
    def stats(self) -> Any: ...  # noqa: D102
    def queries(self, *, order: Order, limit: int) -> list[QueryStats]: ...  # noqa: D102
