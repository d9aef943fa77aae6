"""How much of the evidence searches find: `python -m bench retrieval --data DIR [--json OUT]`.

DIR holds, at any depth, N.messages.jsonl (role, name, content, created_at, metadata.turn) and N.questions.jsonl
(question, evidence: the turns that answer it). Each pair of files becomes an agent, each line a message and a memory.
A memory reads "name: content" where the script has spaces, else content alone. Where their vectors lie beside them
(see `by_vector`), they are searched by these too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString
from uuid import UUID

from rich.console import Console
from rich.table import Table
from uuid_utils.compat import uuid7

from agentmem_store import (
    PRODUCTION,
    Database,
    NewAgent,
    NewMemory,
    NewMessage,
    NewOrganization,
    agents,
    memories,
    messages,
    migrations,
    organizations,
)
from agentmem_store.config import default_dsn
from agentmem_store.models.embeddings import Fusion
from agentmem_store.models.messages import Neighbours
from agentmem_store.query import Query
from bench import by_vector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agentmem_store import Scope

    Method = Callable[[Scope, "Conversation", str], Awaitable[Sequence[UUID]]]

DEPTH: Final = 20
_FUSED: Final = 100
FIGURES: Final = ("recall@5", "recall@10", "recall@20", "mrr")
_SPACELESS: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_EACH_WORD: Final[LiteralString] = """
    SELECT m.id
    FROM agentmem.memories AS m,
         plainto_tsquery('english', $3) AS query
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND to_tsvector('english', m.content) @@ query
    ORDER BY ts_rank(to_tsvector('english', m.content), query) DESC, m.id
    LIMIT $4
"""
_ANY_WORD: Final[LiteralString] = _EACH_WORD.replace(
    "plainto_tsquery('english', $3)", "CAST(replace(plainto_tsquery('english', $3)::text, '&', '|') AS tsquery)"
)


@dataclass(frozen=True)
class Conversation:
    """One pair of files: what is stored, and what is asked of it. Ids of messages and memories are the same.

    `vectors` are those of the turns, and `asked` has those of the questions by their text; without them, None and none.
    """

    name: str
    turns: list[dict[str, Any]]
    questions: list[dict[str, Any]]
    agent_id: UUID = field(default_factory=uuid7)
    ids: dict[str, UUID] = field(default_factory=dict[str, UUID])
    vectors: Any = None
    asked: dict[str, Any] = field(default_factory=dict[str, Any])

    def evidence(self, question: dict[str, Any]) -> set[UUID]:
        return {self.ids[turn] for turn in question["evidence"] if turn in self.ids}


def conversations(data: Path) -> list[Conversation]:
    """Read every pair of files below a directory."""
    return [_read(path, data) for path in sorted(data.rglob("*.messages.jsonl"))]


async def measure(
    scope: Scope, asked: list[Conversation], methods: Sequence[str] | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Store conversations and ask their questions; return the figures by method and file, "all FOLDER" for a folder.

    Args:
        methods: names in `METHODS`; None for all.
    """
    found: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for conversation in asked:
        await _store(scope, conversation)
        for question in conversation.questions:
            if not (evidence := conversation.evidence(question)):
                continue
            for name in METHODS if methods is None else methods:
                if name in _BY_VECTOR and not conversation.asked:
                    continue
                figures = _figures(await METHODS[name](scope, conversation, question["question"]), evidence)
                for group in (conversation.name, f"all {conversation.name.rpartition('/')[0]}"):
                    found[name][group].append(figures)
    return {method: {group: _means(rows) for group, rows in groups.items()} for method, groups in found.items()}


def _read(path: Path, data: Path) -> Conversation:
    def lines(of: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in of.read_text(encoding="utf-8").splitlines() if line]

    questions = path.with_name(path.name.replace(".messages.", ".questions."))
    name = str(path.relative_to(data)).removesuffix(".messages.jsonl")
    read = Conversation(name, lines(path), lines(questions), vectors=by_vector.read_vectors(path))
    if (vectors := by_vector.read_vectors(questions)) is not None:
        read.asked.update(zip((line["question"] for line in read.questions), vectors, strict=True))
    return read


async def _store(scope: Scope, conversation: Conversation) -> None:
    await agents.create(scope, NewAgent(id=conversation.agent_id, name=conversation.name))
    spaced = not any(_SPACELESS.search(turn["content"]) for turn in conversation.turns)
    heard: list[NewMessage] = []
    kept: list[NewMemory] = []
    for turn in conversation.turns:
        identity = conversation.ids[turn["metadata"]["turn"]] = uuid7()
        said = datetime.fromisoformat(turn["created_at"])
        heard.append(
            NewMessage(id=identity, role=turn["role"], name=turn["name"], text=turn["content"], created_at=said)
        )
        content = f"{turn['name']}: {turn['content']}" if spaced else turn["content"]
        kept.append(NewMemory(id=identity, agent_id=conversation.agent_id, content=content, created_at=said))
    await messages.append(scope, conversation.agent_id, heard)
    await memories.create_many(scope, kept)
    if conversation.vectors is not None:
        await by_vector.store_vectors(scope, [row.id for row in kept], conversation.vectors)


async def _messages(scope: Scope, conversation: Conversation, question: str) -> list[UUID]:
    return [hit.message.id for hit in await messages.search(scope, conversation.agent_id, question, limit=DEPTH)]


async def _messages_alone(scope: Scope, conversation: Conversation, question: str) -> list[UUID]:
    alone = Neighbours(after=0, before=0)
    hits = await messages.search(scope, conversation.agent_id, question, limit=DEPTH, neighbours=alone)
    return [hit.message.id for hit in hits]


async def _memories(scope: Scope, conversation: Conversation, question: str) -> list[UUID]:
    hits = await memories.search(scope, question, agent_id=conversation.agent_id, limit=DEPTH)
    return [hit.memory.id for hit in hits]


def _baseline(sql: LiteralString) -> Method:
    query = Query("bench.baseline", UUID, sql)

    async def run(scope: Scope, conversation: Conversation, question: str) -> list[UUID]:
        return await scope.fetch_all(query, conversation.agent_id, question, DEPTH)

    return run


async def _hybrid_messages(scope: Scope, conversation: Conversation, question: str) -> list[UUID]:
    return await by_vector.by_messages(scope, conversation.agent_id, question, conversation.asked[question], DEPTH)


async def _hybrid_memories(scope: Scope, conversation: Conversation, question: str) -> list[UUID]:
    return await by_vector.by_memories(scope, conversation.agent_id, question, conversation.asked[question], DEPTH)


async def _vector_memories(scope: Scope, conversation: Conversation, question: str, limit: int = DEPTH) -> list[UUID]:
    vector, alone = conversation.asked[question], Fusion(vector=1)
    return await by_vector.by_memories(scope, conversation.agent_id, "", vector, limit, fusion=alone)


async def _reciprocal_ranks(scope: Scope, conversation: Conversation, question: str) -> list[UUID]:
    query = Query("bench.baseline", UUID, _ANY_WORD)
    words = await scope.fetch_all(query, conversation.agent_id, question, _FUSED)
    return by_vector.fuse_ranks(words, await _vector_memories(scope, conversation, question, _FUSED))[:DEPTH]


_BY_VECTOR: Final[dict[str, Method]] = {
    "messages.search, hybrid": _hybrid_messages,
    "memories.search, hybrid": _hybrid_memories,
    "memories.search, vector alone": _vector_memories,
    "any word, ts_rank; vector; reciprocal ranks": _reciprocal_ranks,
}
METHODS: Final[dict[str, Method]] = {
    "messages.search": _messages,
    "messages.search, without neighbours": _messages_alone,
    "memories.search": _memories,
    "each word, ts_rank": _baseline(_EACH_WORD),
    "any word, ts_rank": _baseline(_ANY_WORD),
    **_BY_VECTOR,
}


def _figures(found: Sequence[UUID], evidence: set[UUID]) -> list[float]:
    recalls = [len(evidence & set(found[:depth])) / len(evidence) for depth in (5, 10, 20)]
    first = next((rank for rank, identity in enumerate(found, 1) if identity in evidence), None)
    return [*recalls, 1 / first if first else 0.0]


def _means(rows: list[list[float]]) -> dict[str, float]:
    means = (statistics.fmean(column) for column in zip(*rows, strict=True))
    return {"questions": len(rows), **dict(zip(FIGURES, means, strict=True))}


def table(figures: dict[str, dict[str, dict[str, float]]]) -> Table:
    """Return what `measure` found, a line for each method and folder."""
    drawn = Table(title="retrieval", title_justify="left")
    for heading in ("", "of", *FIGURES):
        drawn.add_column(heading, justify="right" if heading in FIGURES else "left")
    for method, groups in figures.items():
        for group, row in groups.items():
            if group.startswith("all "):
                drawn.add_row(method, group, *(f"{row[name]:.3f}" for name in FIGURES))
    return drawn


async def main(arguments: list[str]) -> None:
    """Measure on a fresh organization, at AGENTMEM_DSN or else embedded; print, and write JSON if asked."""
    parser = argparse.ArgumentParser(prog="python -m bench retrieval")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    asked = await asyncio.to_thread(conversations, options.data)
    async with Database(default_dsn(), PRODUCTION) as db:
        with_vectors = any(conversation.vectors is not None for conversation in asked)
        await migrations.up(db.migration_dsn, tracks=("core", "vector") if with_vectors else ("core",))
        organization = await organizations.create(db, NewOrganization(name=f"retrieval {uuid7()}"))
        figures = await measure(db.tenant(organization.id), asked)
        await organizations.hard_delete(db, organization.id)
    Console().print(table(figures))
    if options.json:
        await asyncio.to_thread(options.json.write_text, json.dumps(figures, indent=1), "utf-8")
