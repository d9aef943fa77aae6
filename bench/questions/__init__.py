"""What can be asked, by name. A question is an asynchronous generator over cases.

Each case is measured where it is yielded, so what it needs is open around the `yield`. The first line of its docstring
is what it asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench import benchmarks
from bench.questions import (
    acquire,
    arrivals,
    bulk,
    ceiling,
    context,
    growth,
    hybrid,
    imports,
    loops,
    observer,
    search,
    singles,
    tenants,
)

if TYPE_CHECKING:
    from bench.case import Question

__all__ = ["QUESTIONS", "asks"]

QUESTIONS: Final[dict[str, Question]] = {
    "crud": benchmarks.benchmark_crud_operations,
    "batch": benchmarks.benchmark_batch_operations,
    "memory": benchmarks.benchmark_memory_operations,
    "concurrent": benchmarks.benchmark_concurrent_operations,
    "acquire": acquire.acquire,
    "get": singles.get,
    "recent": singles.recent,
    "append": singles.append,
    "bulk": bulk.bulk,
    "page": singles.page,
    "context": context.context,
    "touch": singles.touch,
    "search": search.search,
    "hybrid": hybrid.hybrid,
    "neighbours": search.neighbours,
    "transaction": singles.transaction,
    "observer": observer.observer,
    "growth": growth.growth,
    "tenants": tenants.tenants,
    "arrivals": arrivals.arrivals,
    "loop": loops.loop,
    "ceiling": ceiling.ceiling,
    "imports": imports.imports,
}


def asks(name: str) -> str:
    """Return what a question asks, in a sentence."""
    return (QUESTIONS[name].__doc__ or "").splitlines()[0]
