"""What importing the package costs."""

from __future__ import annotations

import asyncio
import os
import sys
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from bench.case import Case

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.ground import Ground
    from bench.timing import Round, Work

__all__ = ["imports"]

# What anybody who uses them imports: pydantic by itself is empty, and loads what models are made with when asked.
_DEPENDENCIES: Final = "anyio.to_thread, asyncpg, pydantic.main, structlog, tenacity, uuid_utils.compat"


async def imports(_: Ground) -> AsyncGenerator[Case]:
    """How long does a new interpreter take to import the package, and how long its dependencies alone?"""
    with TemporaryDirectory(prefix="agentmem-bench-") as cache:
        yield Case(
            "import",
            {"ours": _importing("agentmem_store", cache), "its dependencies": _importing(_DEPENDENCIES, cache)},
        )


def _importing(modules: str, cache: str) -> Work:
    """Import in a new interpreter, from byte code that the round before the measured ones wrote."""
    code = f"import time; began = time.perf_counter(); import {modules}; print(time.perf_counter() - began)"
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "PYTHONPYCACHEPREFIX": cache}

    async def run() -> Round:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=environment
        )
        printed, _ = await process.communicate()
        return {"time": float(printed)}

    return run
