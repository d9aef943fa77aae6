"""Rows with embeddings, and vectors that are told apart by their direction."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.repositories import agents, embeddings, memories, messages

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.models.agents import Agent
    from agentmem_store.models.memories import Memory
    from agentmem_store.models.messages import Message
    from agentmem_store.scope import Scope

MODEL = "model"


def towards(angle: float, dimension: int = 384) -> list[float]:
    """A vector at that many degrees from the first axis, in the plane of the first two: the cosine is known."""
    turn = math.radians(angle)
    return [math.cos(turn), math.sin(turn)] + [0.0] * (dimension - 2)


def directions(number: int, *, seed: int = 1, dimension: int = 384) -> list[list[float]]:
    """Vectors in no particular direction, the same ones each time."""
    chosen = random.Random(seed)
    return [[chosen.gauss(0, 1) for _ in range(dimension)] for _ in range(number)]


def cosine(one: list[float], other: list[float]) -> float:
    return (
        math.sumprod(one, other) / math.hypot(*one) / math.hypot(*other)
        if hasattr(math, "sumprod")
        else (sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other))
    )


@dataclass
class Kept:
    """An agent's rows, and their vectors in the same order."""

    agent: Agent
    memories: list[Memory]
    messages: list[Message]
    vectors: list[list[float]]


async def keep(scope: Scope, texts: list[str], vectors: list[list[float]], *, user_id: UUID | None = None) -> Kept:
    """Store each text as a memory and as a message of a new agent, with its embedding."""
    agent = await agents.create(scope, NewAgent(name="bot"))
    kept = [NewMemory(content=text, agent_id=agent.id, user_id=user_id) for text in texts]
    said = [NewMessage(role="user", text=text, user_id=user_id) for text in texts]
    stored = await memories.create_many(scope, kept)
    heard = await messages.append(scope, agent.id, said)
    await embeddings.store(scope, "memories", [row.id for row in stored], vectors, model=MODEL)
    await embeddings.store(scope, "messages", [row.id for row in heard], vectors, model=MODEL)
    return Kept(agent, stored, heard, vectors)
