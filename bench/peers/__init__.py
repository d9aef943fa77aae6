"""The ways of doing the same work. docs/benchmarks.md says how each is run; here is that in code.

A peer is an object with a coroutine method for each operation that it has, named as in `bench.peers.ours`; `contenders`
picks those that have one. Each takes the number of the call, from which it chooses rows, and returns what a caller
would use.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from agentmem_store import PoolConfig
    from bench.ground import Place
    from bench.timing import Operation, Work

    Peer = Any

__all__ = ["NAMES", "contenders", "is_installed", "opened"]

# By name: the module. Imported when it is used: each is a dependency of the extra `bench`.
NAMES: Final = {
    "ours": "ours",
    "coalesced": "ours",
    "raw": "raw",
    "idiom": "idiom",
    "ORM": "orm",
    "psycopg": "psycopg3",
    "LangGraph": "langgraph_store",
}


_NEEDS: Final = {"ORM": "sqlalchemy", "psycopg": "psycopg_pool", "LangGraph": "langgraph"}


def is_installed(name: str) -> bool:
    """Whether what a peer is made of is there; without the extra `bench` it may not be."""
    return name not in _NEEDS or find_spec(_NEEDS[name]) is not None


@asynccontextmanager
async def opened(name: str, place: Place, config: PoolConfig) -> AsyncGenerator[Peer]:
    """Open a peer on a database.

    Args:
        name: which; a key of `NAMES`.
        place: the database.
        config: of our own pool; from it, others take the number of connections.
    """
    module = import_module(f"bench.peers.{NAMES[name]}")
    opening = module.opened_coalescing if name == "coalesced" else module.opened
    async with opening(place, config) as peer:
        yield peer


def contenders(peers: Mapping[str, Peer], operation: str, work: Callable[[Operation], Work]) -> dict[str, Work]:
    """Return the work of each peer that has an operation, in the order of the peers."""
    able = {name: getattr(peer, operation, None) for name, peer in peers.items()}
    return {name: work(method) for name, method in able.items() if method}
