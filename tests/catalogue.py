"""Every `Query` of the library, found by walking its modules."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from agentmem_store import statements
from agentmem_store.query import Query
from agentmem_store.statements.embeddings import BySource
from agentmem_store.statements.sides import PerSide
from agentmem_store.statements.threads import ByThread

if TYPE_CHECKING:
    from collections.abc import Iterator


def all_queries() -> list[Query[Any]]:
    """Return every query once, ordered by name."""
    found = {query.name: query for module in _modules() for query in _in_module(module)}
    return [found[name] for name in sorted(found)]


def _modules() -> Iterator[Any]:
    for info in pkgutil.walk_packages(statements.__path__, "agentmem_store.statements."):
        yield importlib.import_module(info.name)


def _in_module(module: Any) -> Iterator[Query[Any]]:
    for value in vars(module).values():
        for each in value.values() if isinstance(value, dict) else [value]:
            if isinstance(each, Query):
                yield each
            elif isinstance(each, ByThread | PerSide | BySource):
                yield from each
