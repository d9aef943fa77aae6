"""Single operations, one call after another, by every peer that has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.case import Case
from bench.peers import contenders
from bench.timing import one_after_another

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.ground import Ground

__all__ = ["append", "get", "page", "recent", "touch", "transaction"]

_ALL = ("ours", "raw", "idiom", "ORM", "psycopg", "LangGraph")


async def _each(ground: Ground, operation: str, name: str, *more: str) -> AsyncGenerator[Case]:
    async with ground.peers(*_ALL, *more) as peers:
        yield Case(name, contenders(peers, operation, lambda call: one_after_another(ground.size.operations, call)))


async def get(ground: Ground) -> AsyncGenerator[Case]:
    """How long does it take to get an agent by its id?"""
    async for case in _each(ground, "get", "get an agent", "coalesced"):
        yield case


async def recent(ground: Ground) -> AsyncGenerator[Case]:
    """How long does it take to get the newest 50 messages of an agent?"""
    async for case in _each(ground, "recent", "recent 50 messages"):
        yield case


async def append(ground: Ground) -> AsyncGenerator[Case]:
    """How long does it take to append a message, durable when it returns, with nobody else there?"""
    async for case in _each(ground, "append", "append a message", "coalesced"):
        yield case


async def page(ground: Ground) -> AsyncGenerator[Case]:
    """How long does it take to list the newest 50 memories of an agent?"""
    async for case in _each(ground, "page", "list 50 memories"):
        yield case


async def touch(ground: Ground) -> AsyncGenerator[Case]:
    """How long does it take to note that ten memories were accessed?"""
    async for case in _each(ground, "touch", "touch 10 memories"):
        yield case


async def transaction(ground: Ground) -> AsyncGenerator[Case]:
    """How long does a transaction of one statement take?"""
    async for case in _each(ground, "transaction", "get an agent in a transaction"):
        yield case
