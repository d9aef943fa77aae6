"""Whether single operations stay as fast as tables grow."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from bench import seed
from bench.case import Case
from bench.peers.ours import Ours
from bench.timing import one_after_another

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.ground import Ground

__all__ = ["growth"]


async def growth(ground: Ground) -> AsyncGenerator[Case]:
    """Do get, recent, append and list take longer when one agent has more messages and memories?"""
    async with AsyncExitStack() as stack:
        grown: dict[str, Ours] = {}
        for rows in ground.size.rows:
            place = await stack.enter_async_context(ground.place())
            scope = await stack.enter_async_context(place.ours(ground.config))
            await seed.add_messages(scope, place.world.agent(0), rows - ground.size.messages)
            await seed.add_memories(scope, place.world.agent(0), rows - ground.size.memories)
            async with place.connection() as connection:
                await seed.settle(connection)
            grown[f"{rows:,} rows"] = Ours(scope, place.world)
        for name in ("get", "recent", "append", "page"):
            works = {
                rows: one_after_another(ground.size.operations, getattr(ours, name)) for rows, ours in grown.items()
            }
            yield Case(name, works)
