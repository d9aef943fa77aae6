"""The same tests under narrow conditions: settings that an option of pytest forces on every pool and connection."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from agentmem_store import connect
from agentmem_store.config import DEFAULT, PoolConfig
from agentmem_store.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["configure", "narrowed", "pooled"]


def configure(patch: pytest.MonkeyPatch, change: Callable[[str, PoolConfig], PoolConfig]) -> None:
    """Have every `Database` made with settings that are changed first, as a function of its DSN."""
    make = Database.__init__

    @wraps(make)
    def made(self: Database, dsn: str, config: PoolConfig = DEFAULT, **kwargs: Any) -> None:
        make(self, dsn, change(dsn, config), **kwargs)

    patch.setattr(Database, "__init__", made)


def narrowed(config: PoolConfig, most: int) -> PoolConfig:
    """Return settings with so many connections at most."""
    return config.with_(max_size=min(most, config.max_size), min_size=min(most, config.min_size))


@contextmanager
def pooled(entrance: str) -> Iterator[None]:
    """Have everything that goes through a pooler told so, as its user would tell it."""
    place = urlsplit(entrance).netloc
    open_one = connect.connect

    @wraps(open_one)
    async def opened(dsn: str, **kwargs: Any) -> Any:
        return await open_one(dsn, **{**kwargs, "pooler": kwargs.get("pooler", False) or place in dsn})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connect, "connect", opened)
        configure(patch, lambda dsn, config: config.with_(pooler="transaction" if place in dsn else config.pooler))
        yield
