"""Every query of this library, by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors, statements
from agentmem_store.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["catalogue", "find", "of_daily_use"]

# Clean-up, erasure, copies and rebuilding: they run seldom and over much, and an index for them would cost every write.
_SELDOM: Final = frozenset({
    "analysis", "erasure", "health", "proof", "reindexing", "removal", "retention", "search_terms", "transactions",
    "transfer", "transfer_agent", "transfer_load",
})  # fmt: skip


@cache
def catalogue() -> Mapping[str, Query[Any]]:
    """Return every query of this library by its name, in the order of names."""
    found = {query.name: query for queries in _by_module().values() for query in queries}
    return MappingProxyType({name: found[name] for name in sorted(found)})


@cache
def of_daily_use() -> Mapping[str, Query[Any]]:
    """Return the queries by which an application works day by day: all but those of clean-up, erasure and copies."""
    seldom = {query.name for module, queries in _by_module().items() if module in _SELDOM for query in queries}
    return MappingProxyType({name: query for name, query in catalogue().items() if name not in seldom})


@cache
def _by_module() -> Mapping[str, Sequence[Query[Any]]]:
    modules = pkgutil.walk_packages(statements.__path__, statements.__name__ + ".")
    return {
        module.name.rpartition(".")[2]: [*_within(vars(importlib.import_module(module.name)).values())]
        for module in modules
    }


def find(name: str) -> Query[Any]:
    """Return the query of that name.

    Raises:
        NotFound: there is none; the message names those that are alike.
    """
    if (query := catalogue().get(name)) is not None:
        return query
    from difflib import get_close_matches

    alike = get_close_matches(name, catalogue(), n=3, cutoff=0.5)
    raise errors.NotFound("query", "there is no such query" + (f"; there is {', '.join(alike)}" if alike else ""))


def _within(values: Iterable[Any]) -> Iterator[Query[Any]]:
    """Yield the queries among values, and those of the families that some of the values are."""
    for value in values:
        inner: Any = value
        if isinstance(value, Query):
            yield inner
        elif isinstance(value, dict):
            yield from _within(inner.values())
        elif type(value).__module__.startswith(statements.__name__) and isinstance(value, Iterable):
            yield from _within(inner)
