"""What importing the package costs."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from bench.case import Case

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.ground import Ground
    from bench.timing import Round, Work

__all__ = ["imports"]

_DEPENDENCIES: Final = "anyio, asyncpg, pydantic, structlog, tenacity, uuid_utils"


async def imports(_: Ground) -> AsyncGenerator[Case]:
    """How long does a new interpreter take to import the package, and how long its dependencies alone?"""
    yield Case("import", {"ours": _importing("agentmem_store"), "its dependencies": _importing(_DEPENDENCIES)})


def _importing(modules: str) -> Work:
    code = f"import time; began = time.perf_counter(); import {modules}; print(time.perf_counter() - began)"

    async def run() -> Round:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        printed, _ = await process.communicate()
        return {"time": float(printed)}

    return run
