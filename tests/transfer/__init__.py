"""What a dump or a load did: read from the file, and asked of the store."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from agentmem_store.repositories import agents, blocks, memories, messages, tools, users

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from agentmem_store.scope import Scope

# What a text may hold: scripts, an emoji of several code points, quotes, controls, separators, no lone surrogates.
TEXT = '苹果 🧑‍👩‍👧 "q" \\u0041 \\ \x01\x1f\x7f\t\r\n\u2028 end'
NUMBERS = '{"tiny": 1e-300, "long": 12345678901234567890.123456789012345678901234567890, "kept": 1.50, "neg": -0.0}'


async def seen(scope: Scope, agent_id: UUID) -> list[Any]:
    """What the functions return that read an agent, and all that hangs on it."""
    (block,) = await blocks.by_agent(scope, agent_id)
    return [
        (await users.list(scope)).items,
        (await agents.list(scope)).items,
        await agents.details(scope, agent_id),
        await messages.recent(scope, agent_id),
        await messages.search(scope, agent_id, "苹果"),
        block,
        (await blocks.history(scope, block.id)).items,
        await tools.by_agent(scope, agent_id),
        (await tools.by_tags(scope, ["网"])).items,
        (await memories.list(scope, agent_id=agent_id)).items,
        await memories.search(scope, "黑咖啡", agent_id=agent_id),
        await memories.most_important(scope, agent_id),
        await memories.recently_accessed(scope, agent_id),
    ]


def rows_of(path: Path, table: str = "") -> list[dict[str, Any]]:
    """The rows of a file, in its order: of one table, or of all."""
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n")[1:-2]]
    return [line["row"] for line in lines if line["table"] == table or not table]


def edited(path: Path, old: bytes, new: bytes, *, with_sums: bool = False) -> Path:
    """Change the first occurrence in a file, and its sums as well when asked."""
    lines = path.read_bytes().replace(old, new, 1).splitlines(keepends=True)
    if with_sums:
        last = json.loads(lines[-1])
        for table, held in last["tables"].items():
            own = b"".join(line for line in lines if line.startswith(f'{{"table":"{table}"'.encode()))
            held["sha256"] = hashlib.sha256(own).hexdigest()
        last["header_sha256"] = hashlib.sha256(lines[0]).hexdigest()
        lines[-1] = json.dumps(last, separators=(",", ":")).encode() + b"\n"
    changed = path.with_name(f"changed-{path.name}")
    changed.write_bytes(b"".join(lines))
    return changed
