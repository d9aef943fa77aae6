"""Every Python block of README and docs runs, as it stands."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import agentmem_store
from agentmem_store import NewAgent, agents
from tests.servers import open_directory

if TYPE_CHECKING:
    from agentmem_store import Database, Scope

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


# Snippets of a page build on one another, as a reader reads them.
SNIPPETS = [
    pytest.param(
        [block for block in blocks(page) if "asyncio.run(" not in block],
        id=page.name,
        marks=[pytest.mark.own_sessions] if "db.migrate(" in "".join(blocks(page)) else [],
    )
    for page in PAGES
    if blocks(page)
]
PROGRAMS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page))
    if "asyncio.run(" in block
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_whole_program_runs_as_it_stands(program: str) -> None:
    with open_directory() as place:
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=place, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("snippets", SNIPPETS)
async def test_snippets_run_within_an_open_database(db: Database, tenant: Scope, snippets: list[str]) -> None:
    """They see the public names, an open database `db`, a `scope` and an `agent`, as the text around them says."""
    agent = await agents.create(tenant, NewAgent(name="planner"))
    names = {name: getattr(agentmem_store, name) for name in agentmem_store.__all__}
    names |= {"db": db, "scope": tenant, "agent": agent, "dsn": db.dsn}
    for number, snippet in enumerate(snippets):
        code = compile(snippet, f"snippet {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result
