"""What it costs that every statement is observed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agentmem_store.statements.agents import GET
from bench.case import Case

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agentmem_store import Database
    from bench.ground import Ground
    from bench.timing import Round, Work

__all__ = ["observer"]


async def observer(ground: Ground) -> AsyncGenerator[Case]:
    """What does the observer alone take for a statement: timing, statistics, slow log armed?"""
    async with ground.place() as place, place.open(ground.config) as db:
        yield Case("observe a statement", {"ours": _observing(db, ground.size.operations * 30)})


def _observing(db: Database, times: int) -> Work:
    async def run() -> Round:
        watching = db.observer
        began = time.perf_counter()
        for _ in range(times):
            watching.started()
            asked = time.perf_counter()
            watching.finished(GET, wait_s=0.0, run_s=time.perf_counter() - asked, rows=1)
        return {"time": (time.perf_counter() - began) / times}

    return run
