"""What a search by a vector takes besides the words: checked, and in the order of the statements' parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agentmem_store import errors
from agentmem_store.inputs import check_limit, check_text
from agentmem_store.models.embeddings import DIMENSIONS, Fusion
from agentmem_store.vectors import check_vector

if TYPE_CHECKING:
    from agentmem_store.vectors import Vector

__all__ = ["Sought", "check_sought"]

# How many of the best by words, and of the nearest, are compared. With 400 what is found changed little (measured).
_COMPARED: Final = 200
_FUSION: Final = Fusion.model_construct()  # not checked: importing this would build the validator


class Sought(NamedTuple):
    """A vector to look for.

    Attributes:
        dimension: how many numbers it has.
        args: model, vector, and how many rows to compare.
        fusion: what counts how much.
    """

    dimension: int
    args: tuple[Any, ...]
    fusion: Fusion

    @property
    def counting(self) -> tuple[float, float, float, float]:
        """What counts how much, for memories."""
        return (self.fusion.vector, self.fusion.importance, self.fusion.recency, self.fusion.half_life_days)


def check_sought(embedding: Vector | None, model: str | None, fusion: object, limit: int) -> Sought | None:
    """Return what is sought; None without an embedding.

    Args:
        embedding: the query's.
        model: the model that made it.
        fusion: what counts how much; None for the usual.
        limit: how many rows the caller wants.

    Raises:
        ValidationError: one is given without the other, or is not such.
    """
    if embedding is None:
        if model is not None or fusion is not None:
            raise errors.ValidationError.of("embedding", "is missing: model and fusion say nothing without it")
        return None
    if model is None:
        raise errors.ValidationError.of("model", "is missing: name the model that made the embedding")
    if fusion is not None and not isinstance(fusion, Fusion):
        raise errors.ValidationError.of("fusion", "must be a Fusion")
    numbers = check_vector(embedding, DIMENSIONS)
    args = (check_text(model, "model", most=255), numbers.tolist(), max(_COMPARED, check_limit(limit)))
    return Sought(len(numbers), args, fusion or _FUSION)
