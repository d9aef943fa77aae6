"""`python -m bench [NAME…]`: crud, batch, memory, concurrent; all by default. QUICK=1: fewer rounds. Or `retrieval`."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from functools import partial
from importlib import metadata

import asyncpg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agentmem_store import PRODUCTION, Database
from agentmem_store.config import default_dsn
from bench import retrieval
from bench.benchmarks import BENCHMARKS, prepare
from bench.timing import Timing, interleave

CONNECTIONS = 8


async def main(names: list[str]) -> None:
    rounds = 3 if os.environ.get("QUICK") else 7
    console = Console()
    async with Database(default_dsn(), PRODUCTION.with_(min_size=CONNECTIONS, max_size=CONNECTIONS)) as db:
        await db.migrate()
        async with asyncpg.create_pool(db.dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
            ground = await prepare(db, pool)
            await stamp(console, db)
            with Progress(console=console, transient=True) as progress:
                for name in names:
                    benchmark, size = BENCHMARKS[name]
                    for case, contenders in benchmark(ground, size).items():
                        steps = (rounds + 1) * len(contenders)
                        task = progress.add_task(f"{name}: {case}", total=steps)
                        timings = await interleave(contenders, rounds=rounds, on_round=partial(progress.advance, task))
                        progress.remove_task(task)
                        progress.console.print(table(f"{name}: {case}", list(timings)))


async def stamp(console: Console, db: Database) -> None:
    """Say on what the figures were taken."""
    async with db.connection() as connection:
        server = await connection.fetchval("SHOW server_version")
        commit = await connection.fetchval("SHOW synchronous_commit")
    console.print(
        f"PostgreSQL {server}, synchronous_commit {commit}; Python {platform.python_version()}, "
        f"asyncpg {metadata.version('asyncpg')}, pydantic {metadata.version('pydantic')}; {os.cpu_count()} cores"
    )


def table(title: str, timings: list[Timing]) -> Table:
    drawn = Table(title=title, title_justify="left")
    for heading in ("", "µs per operation", "spread", "times ours"):
        drawn.add_column(heading, justify="left" if not heading else "right")
    ours = timings[0].median
    for timing in timings:
        drawn.add_row(
            timing.name, f"{timing.median * 1e6:.0f}", f"± {timing.spread:.0%}", f"{timing.median / ours:.2f}"
        )
    return drawn


if __name__ == "__main__":
    if sys.argv[1:2] == ["retrieval"]:
        asyncio.run(retrieval.main(sys.argv[2:]))
        sys.exit()
    asked = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in asked if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    asyncio.run(main(asked))
