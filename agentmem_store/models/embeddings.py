"""Embeddings: what makes them, how they count in a search, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol, TypeAlias
from uuid import UUID

import pydantic
from pydantic import Field

from agentmem_store.inputs import Input

if TYPE_CHECKING:
    from agentmem_store.vectors import Vector

__all__ = [
    "DIMENSIONS",
    "Embedder",
    "EmbeddingModel",
    "Fusion",
    "MemoryParent",
    "MessageParent",
    "Source",
    "Unembedded",
]

Source: TypeAlias = Literal["memories", "messages"]

# Each has a table for memories and one for messages. Above 2,000 they are of half precision.
DIMENSIONS: Final = (256, 384, 512, 768, 1024, 1536, 2048, 3072)

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=365_000, allow_inf_nan=False)]


class Fusion(Input):
    """What the score of a search with an embedding is made of.

    Of the rows that the words find best and the vector finds nearest, each score is brought to 0 to 1: words by the
    best one's, the cosine by the least and the greatest among them. A row without an embedding gets nothing for it.

    Attributes:
        vector: how much the vector counts; words count 1 - vector. With 0 they alone count, with 1 the vector alone.
        importance: how much a memory's importance counts, on top; 0 for not at all. Messages have none.
        recency: how much it counts, on top, that the row is new: all of it now, half of it after `half_life_days`.
        half_life_days: see `recency`.
    """

    vector: Share = 0.5
    importance: Share = 0.0
    recency: Share = 0.0
    half_life_days: Days = 30.0


class Embedder(Protocol):
    """What turns texts into vectors: an application's own client of its model. Never called with a connection held.

    Attributes:
        model: the name under which its vectors are stored.
        dimension: how many numbers a vector of its has.
    """

    @property
    def model(self) -> str: ...  # noqa: D102 - see above
    @property
    def dimension(self) -> int: ...  # noqa: D102 - see above

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one vector for each text, in their order."""
        ...


class _Told(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)


class EmbeddingModel(_Told):
    """A model of which an organization has embeddings.

    Attributes:
        source: what was embedded, memories or messages.
        model: its name.
        dimension: how many numbers its vectors have.
    """

    source: Source
    model: str
    dimension: int


class Unembedded(_Told):
    """A row that a model has not embedded, or not as it stands.

    Attributes:
        id: the memory or message.
        version: its version.
        text: what is to be embedded.
    """

    id: UUID
    version: int
    text: str


class MemoryParent(_Told):
    """What is copied beside an embedding from the memory it was made of."""

    id: UUID
    version: int
    agent_id: UUID | None
    user_id: UUID | None


class MessageParent(_Told):
    """What is copied beside an embedding from the message it was made of."""

    id: UUID
    version: int
    agent_id: UUID
    seq: int
    user_id: UUID | None
    group_id: str | None
