"""`python -m tests.migrations.worker` migrates in processes that can be killed; forked, so that they start at once.

It reads lines of JSON. ``{"start": 3, "dsn": …, "root": …}`` forks that many, lets all go at the same moment, and
answers with their process numbers; ``{"wait": […]}`` waits for them, and answers with how each ended.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from agentmem_store import migrations
from agentmem_store.errors import AgentMemError

# Before anybody forks, so that nobody's time goes into it.
for _name in ("checks", "stepwise"):
    importlib.import_module(f"agentmem_store.migrations.{_name}")


def start(count: int, dsn: str, root: str) -> list[int]:
    gate, opener = os.pipe()
    pids: list[int] = []
    for _ in range(count):
        if (pid := os.fork()) == 0:
            os.close(opener)
            os.read(gate, 1)  # comes back when the parent closes its end
            os._exit(_migrate(dsn, root))
        pids.append(pid)
    os.close(gate)
    os.close(opener)
    return pids


def _migrate(dsn: str, root: str) -> int:
    try:
        asyncio.run(migrations.up(dsn, root=Path(root)))
    except AgentMemError:
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0


def main() -> None:
    for line in sys.stdin:
        said = json.loads(line)
        if "start" in said:
            answer = start(said["start"], said["dsn"], said["root"])
        else:
            answer = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in said["wait"]]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
