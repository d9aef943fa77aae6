"""Retrieval by vectors, where files of them lie beside the texts: N.messages.f16.npy and N.questions.f16.npy.

They are arrays of float16 in line order, of "name: content" and of the questions, all of one model.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import memories, messages
from agentmem_store.repositories import embeddings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from agentmem_store import Scope
    from agentmem_store.models.embeddings import Fusion

__all__ = ["by_memories", "by_messages", "fuse_ranks", "read_vectors", "store_vectors"]

MODEL: Final = "given"
_RRF: Final = 60


def read_vectors(texts: Path) -> Any:
    """Return the array beside a file of texts, or None."""
    import numpy as np

    path = texts.with_name(texts.name.removesuffix(".jsonl") + ".f16.npy")
    return np.load(path) if path.exists() else None


async def store_vectors(scope: Scope, ids: Sequence[UUID], vectors: Any) -> None:
    """Store the vectors of turns, which are memories and messages of the same ids."""
    await embeddings.store(scope, "memories", ids, vectors, model=MODEL)
    await embeddings.store(scope, "messages", ids, vectors, model=MODEL)


async def by_memories(
    scope: Scope, agent_id: UUID, question: str, vector: Any, limit: int, *, fusion: Fusion | None = None
) -> list[UUID]:
    """Find memories by words and vector."""
    hits = await memories.search(
        scope, question, agent_id=agent_id, limit=limit, embedding=vector, model=MODEL, fusion=fusion
    )
    return [hit.memory.id for hit in hits]


async def by_messages(scope: Scope, agent_id: UUID, question: str, vector: Any, limit: int) -> list[UUID]:
    """Find messages by words and vector."""
    hits = await messages.search(scope, agent_id, question, limit=limit, embedding=vector, model=MODEL)
    return [hit.message.id for hit in hits]


def fuse_ranks(*lists: Sequence[UUID]) -> list[UUID]:
    """Fuse lists by reciprocal ranks, k = 60. (Cormack, Clarke and Büttcher, SIGIR 2009.)"""
    scores: dict[UUID, float] = defaultdict(float)
    for found in lists:
        for rank, identity in enumerate(found, 1):
            scores[identity] += 1 / (_RRF + rank)
    return sorted(scores, key=lambda identity: -scores[identity])
