"""squawk, a linter of migrations, has nothing to say about ours, or the file says why."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentmem_store import migrations

SHIPPED = migrations.discover(migrations.sql_root())
SQUAWK = shutil.which("squawk", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
# The runner sets both timeouts for every file.
HELD_BY_THE_RUNNER = "require-lock-timeout,require-statement-timeout"
# A way back removes what the way up made; that is what it is for.
WAY_BACK = "ban-drop-table,ban-drop-function,ban-drop-column,ban-drop-constraint,require-concurrent-index-deletion"


def squawk(text: str, name: str, *options: str) -> str:
    """Return what squawk says about a file; nothing when it is well."""
    assert SQUAWK
    command = [SQUAWK, "--pg-version=15.0", "--reporter=gcc", f"--stdin-filepath={name}", *options]
    ran = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


needs_squawk = pytest.mark.skipif(SQUAWK is None, reason="squawk is not installed: pip install squawk-cli")
SCRIPTS = [script for step in SHIPPED for script in (step.up, step.down) if script.holds_statement]


@needs_squawk
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.path)
def test_squawk_has_nothing_to_say(script):
    excluded = HELD_BY_THE_RUNNER + ("," + WAY_BACK if script.path.endswith("/down.sql") else "")
    options = ["--assume-in-transaction"] if script.in_transaction else []
    assert squawk(script.sql, script.path, f"--exclude={excluded}", *options) == ""


@needs_squawk
def test_squawk_would_say_it():
    said = squawk("CREATE INDEX i ON agentmem.agents (topic);", "up.sql", "--assume-in-transaction")
    assert "require-concurrent-index-creation" in said


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.path)
def test_an_exception_carries_its_reason(script):
    lines = script.sql.split("\n")
    for number, line in enumerate(lines):
        if "squawk-ignore" in line:
            assert re.match(r"\s*-- (\S+ ){3,}", lines[number - 1]), f"{script.path}:{number + 1}: say why, above it"
