"""How much a run does: enough for figures (default), for a first look (QUICK=1), or for a million rows (FULL=1)."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

__all__ = ["DEFAULT", "FULL", "QUICK", "TINY", "Size", "from_environment"]


@dataclass(frozen=True)
class Size:
    """How much each question does.

    Attributes:
        name: of the size, for the report.
        rounds: measured rounds; one more, the first, is not measured.
        operations: calls of a round, one after another.
        connections: of each pool.
        tasks: that call at once.
        agents: of the organization that questions find.
        messages: of its first agent.
        memories: of its first agent.
        bulk: sizes of batches.
        rows: to which the tables grow.
        searched: memories of one agent that is searched.
        others: other tenants beside the one that searches.
        rows_each: memories of each other tenant.
        tenants: that take turns.
        rates: calls that arrive in a second.
        seconds: for which they arrive.
    """

    name: str
    rounds: int
    operations: int
    connections: int
    tasks: int
    agents: int
    messages: int
    memories: int
    bulk: tuple[int, ...]
    rows: tuple[int, ...]
    searched: tuple[int, ...]
    others: tuple[int, ...]
    rows_each: int
    tenants: tuple[int, ...]
    rates: tuple[int, ...]
    seconds: float


DEFAULT = Size(
    name="default", rounds=7, operations=300, connections=8, tasks=100, agents=100, messages=1_000, memories=1_000,
    bulk=(1, 10, 100, 1_000, 10_000), rows=(10_000, 100_000), searched=(1_000, 10_000, 100_000),
    others=(10, 100, 1_000), rows_each=100, tenants=(1, 10, 100), rates=(500,), seconds=0.5,
)  # fmt: skip
FULL = replace(
    DEFAULT, name="full", rows=(10_000, 100_000, 1_000_000), tenants=(1, 10, 100, 1_000),
    rates=(200, 1_000),
)  # fmt: skip
QUICK = replace(
    DEFAULT, name="quick", rounds=3, operations=15, messages=200, memories=200, bulk=(1, 100),
    rows=(500, 2_000), searched=(500, 2_000), others=(2, 20), tenants=(1, 10), rates=(200,), seconds=0.1,
)  # fmt: skip
TINY = replace(
    QUICK, name="tiny", rounds=2, operations=2, connections=2, tasks=4, agents=4, messages=60, memories=60,
    bulk=(1, 3), rows=(60, 120), searched=(60, 120), others=(1, 2), rows_each=3, tenants=(1, 2), rates=(50,),
    seconds=0.1,
)  # fmt: skip


def from_environment() -> Size:
    """Return the size that QUICK or FULL ask for; an empty variable, 0 and a missing one count as not asked for."""
    asked = [size for size in (FULL, QUICK) if os.environ.get(size.name.upper(), "0") not in {"", "0"}]
    return asked[0] if asked else DEFAULT
