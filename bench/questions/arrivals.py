"""Latency at a fixed rate of arrival, which is what a server sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.case import Case
from bench.peers import contenders
from bench.timing import at_rate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.ground import Ground
    from bench.timing import Operation, Work

__all__ = ["arrivals"]


async def arrivals(ground: Ground) -> AsyncGenerator[Case]:
    """How long does a call take from when it was due, when calls arrive at a fixed rate whether or not others ended?"""
    async with ground.peers("ours", "coalesced", "idiom", "ORM", "psycopg", "LangGraph") as peers:
        for operation in ("get", "append"):
            for rate in ground.size.rates:

                def work(call: Operation, rate: int = rate) -> Work:
                    return at_rate(rate, ground.size.seconds, call)

                yield Case(f"{operation}, {rate:,} arrive in a second", contenders(peers, operation, work))
