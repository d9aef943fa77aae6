"""What the server itself gives, as pgbench measures it."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agentmem_store.statements.agents import GET
from bench.case import Case
from bench.ground import Skipped
from bench.peers import opened
from bench.timing import in_streams

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.ground import Ground, Place
    from bench.timing import Round, Work

__all__ = ["ceiling", "find_pgbench"]


async def ceiling(ground: Ground) -> AsyncGenerator[Case]:
    """How far from what the server gives, as pgbench asks it in C, is getting an agent: one at a time, and many?"""
    program = find_pgbench()
    if program is None:
        raise Skipped("pgbench is neither on the PATH nor in the embedded extra's wheel")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "get.sql"
        text = GET.text.replace("$1", ":org").replace("$2", ":agent")
        await asyncio.to_thread(script.write_text, text + ";\n", "utf-8")
        async with ground.place() as place, opened("ours", place, ground.config) as ours:
            for clients in (1, ground.size.connections):
                each = max(1, ground.size.operations // clients)
                works = {
                    "ours": in_streams(clients, each, ours.get),
                    "pgbench": _asking(program, script, place, clients, ground.size.operations * 10),
                }
                yield Case(f"get an agent, {clients} at a time", works)


def find_pgbench() -> str | None:
    """Return where pgbench is: on the PATH, or in the wheel of the embedded server."""
    from agentmem_store.embedded import binaries

    if found := shutil.which("pgbench"):
        return found
    return next((str(path) for path in sorted(binaries.package().glob("pginstall*/bin/pgbench"), reverse=True)), None)


def _asking(program: str, script: Path, place: Place, clients: int, calls: int) -> Work:
    world = place.world
    ids = (f"--define=org={world.organization_id}", f"--define=agent={world.agent(0)}")
    each = max(1, calls // clients)
    how = ("--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--transactions={each}", *ids)

    async def run() -> Round:
        process = await asyncio.create_subprocess_exec(
            program, *how, f"--file={script}", place.dsn,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, complaint = await process.communicate()
        found = re.search(rb"tps = ([0-9.]+)", printed)
        if process.returncode or not found:
            raise RuntimeError(f"pgbench: {complaint.decode(errors='replace').strip()}")
        return {"time": 1 / float(found[1])}

    return run
