"""What is known about statements while they run: times, errors, the slow log, and how it is shown to others."""

from agentmem_store.telemetry.histogram import Histogram, HistogramSnapshot
from agentmem_store.telemetry.observer import Observer, Statement
from agentmem_store.telemetry.queries import Order, QueryStats, StatementStats

__all__ = ["Histogram", "HistogramSnapshot", "Observer", "Order", "QueryStats", "Statement", "StatementStats"]
