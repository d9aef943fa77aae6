"""An agent's whole context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.case import Case
from bench.peers import contenders
from bench.peers.ours import Ours
from bench.timing import one_after_another

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from agentmem_store import Database
    from bench.ground import Ground
    from bench.timing import Round, Work

__all__ = ["context", "statements"]


async def context(ground: Ground) -> AsyncGenerator[Case]:
    """How long does an agent's context take: agent, blocks, tools, messages within a budget, memories found?"""
    calls = max(1, ground.size.operations // 5)
    async with ground.peers("ours", "raw", "idiom", "ORM", "psycopg") as peers:
        yield Case("context", contenders(peers, "context", lambda call: one_after_another(calls, call)))
    async with ground.place() as place, place.open(ground.config) as db:
        ours = Ours(db.tenant(place.world.organization_id), place.world)
        yield Case("statements sent", {"ours": statements(db, lambda: ours.context(0))})


def statements(db: Database, call: Callable[[], Awaitable[object]]) -> Work:
    """Count the statements that a call sends; each is one round trip, outside of transactions."""

    async def run() -> Round:
        before = db.stats().statements.ok
        await call()
        return {"count": db.stats().statements.ok - before}

    return run
