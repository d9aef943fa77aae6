"""Batches of memories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.case import Case
from bench.timing import batches
from bench.vectors import bulk_of_vectors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.ground import Ground

__all__ = ["bulk"]


async def bulk(ground: Ground) -> AsyncGenerator[Case]:
    """How long does a memory take in a batch? Raw and psycopg: by COPY; idiom: executemany; ORM: add_all."""
    async with ground.peers("ours", "raw", "idiom", "ORM", "psycopg", "LangGraph") as peers:
        for size in ground.size.bulk:
            able = {name: peer for name, peer in peers.items() if size <= getattr(peer, "most", size)}
            works = {name: batches(size, peer.make, peer.store) for name, peer in able.items()}
            yield Case(f"batches of {size:,}, each memory", works, at=size)
    async for case in bulk_of_vectors(ground):
        yield case
