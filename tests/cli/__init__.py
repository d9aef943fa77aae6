"""The command line, in this process and as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from agentmem_store.cli import app

if TYPE_CHECKING:
    from typer.testing import Result

# Wide, so that no table cuts what a test looks for.
_WIDE = {"COLUMNS": "200", "NO_COLOR": "1"}
_PROGRAM = [sys.executable, "-m", "agentmem_store"]


def invoke(dsn: str, *args: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner(env=_WIDE).invoke(app, ["--dsn", dsn, *map(str, args)])


def start(*args: str | Path, cwd: str | Path = "/", **environment: str) -> subprocess.Popen[str]:
    """Start a command as a process of its own, away from the checkout's directory and AGENTMEM_DSN."""
    inherited = {name: value for name, value in os.environ.items() if name != "AGENTMEM_DSN"}
    return subprocess.Popen(
        [*_PROGRAM, *map(str, args)],
        cwd=cwd,
        env={**inherited, **_WIDE, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*args: str | Path, cwd: str | Path = "/", **environment: str) -> tuple[int, str, str]:
    """Run a command as a process of its own; return its exit status and what it said on stdout and stderr."""
    with start(*args, cwd=cwd, **environment) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def fill(path: Path, *lines: object) -> Path:
    """Write a chat log: strings as what the user says, bytes as they are, the rest as JSON."""
    written = (line if isinstance(line, bytes) else json.dumps(_line(line)).encode() for line in lines)
    path.write_bytes(b"".join(line + b"\n" for line in written))
    return path


def _line(line: object) -> object:
    return {"role": "user", "content": line} if isinstance(line, str) else line
