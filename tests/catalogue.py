"""Every `Query` of the library, as the library itself finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentmem_store.analysis import catalogue

if TYPE_CHECKING:
    from agentmem_store.query import Query


def all_queries() -> list[Query[Any]]:
    """Return every query once, ordered by name."""
    return [*catalogue().values()]
