"""The core can be read in one sitting, and works without the modules around it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from agentmem_store import migrations

FOLDER = Path(str(migrations.__file__)).parent
CORE = ["files", "ledger", "drift", "runner"]
AROUND = ["backfilling", "checks", "fingerprint", "indexes", "planning", "scratch", "splitter", "stepwise"]

PROGRAM = """
import asyncio, sys
from pathlib import Path
for name in {around}:
    sys.modules["agentmem_store.migrations." + name] = None  # an import of it fails
from agentmem_store.migrations import drift, files, ledger, runner

async def main(dsn, root):
    steps = files.discover(Path(root))
    async with runner.connection(dsn) as connection, runner.locked(connection, 10):
        await ledger.create(connection)
        for step in drift.compare(steps, await ledger.read(connection), ["core"]).verified().pending:
            print(await runner.apply(connection, step))
        assert drift.compare(steps, await ledger.read(connection), ["core"]).at_head
        for step in reversed(steps):
            print(await runner.take_back(connection, step))

asyncio.run(main(*sys.argv[1:]))
"""


def code_lines(path: Path) -> int:
    """Count the lines to read: not those that are empty, a comment, a docstring or an import."""
    text = path.read_text(encoding="utf-8")
    passed: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)  # a docstring
        ):
            passed |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(1 for number, line in lines if line and number not in passed and not line.startswith("#"))


def test_the_core_is_at_most_400_lines() -> None:
    assert sum(code_lines(FOLDER / f"{name}.py") for name in CORE) <= 400


def test_every_module_is_core_or_around_it() -> None:
    found = {path.stem for path in FOLDER.glob("*.py")}
    assert found == {*CORE, *AROUND, "__init__", "operations", "problems"}


def test_the_core_works_without_the_modules_around_it(empty_database, root) -> None:
    command = [sys.executable, "-c", PROGRAM.format(around=AROUND), empty_database, str(root)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    up = ["core/0001_a", "core/0002_b", "core/0003_c"]
    assert (ran.stdout.splitlines(), ran.stderr) == ([*up, *up[::-1]], "")
