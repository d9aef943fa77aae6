"""Vectors that callers pass in: checked before any I/O, and brought to one form, an array of C floats."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, TypeAlias, cast, runtime_checkable

from agentmem_store.errors import Problem, ValidationError

__all__ = ["Vector", "Vectors", "check_vector", "check_vectors", "to_binary"]


@runtime_checkable
class SupportsToList(Protocol):
    """A numpy array, an array.array, a tensor: whatever gives its numbers as a list."""

    def tolist(self) -> Any:
        """Return the numbers."""
        ...


Vector: TypeAlias = Sequence[float] | SupportsToList
# Several of them; a matrix has one in each row.
Vectors: TypeAlias = Iterable[Vector] | SupportsToList

# Lengths that half and single precision can square and add up without losing the direction.
_LONGEST: Final = 1e15
_SHORTEST: Final = 1e-15
_MOST_HALF: Final = 65_504.0
_HALF_FROM: Final = 2_000
_MOST: Final = 16_000


def check_vector(value: object, dimensions: Sequence[int], field: str = "embedding") -> array[float]:
    """Return the numbers of one vector.

    Args:
        value: a list, tuple, array.array, numpy array or the like.
        dimensions: those that have a table.
        field: what to call it in an error.

    Raises:
        ValidationError: it holds something else than finite numbers, has no direction, or no such dimension.
    """
    numbers = _numbers(value)
    reason = numbers if isinstance(numbers, str) else _dimension_problem(len(numbers), dimensions)
    if reason:
        raise ValidationError.of(field, reason)
    return cast("array[float]", numbers)


def check_vectors(values: object, dimensions: Sequence[int], field: str = "embedding") -> list[array[float]]:
    """Return the numbers of several vectors of one dimension, in their order.

    Raises:
        ValidationError: as for `check_vector`, naming each item; or an item has another dimension than the first.
    """
    try:
        checked = [_numbers(value) for value in cast("Iterable[object]", values)]
    except TypeError:
        raise ValidationError.of("vectors", "must be a sequence of vectors") from None
    problems = [Problem(item, field, found) for item, found in enumerate(checked) if isinstance(found, str)]
    vectors = [found for found in checked if not isinstance(found, str)]
    if not problems and vectors:
        first = len(vectors[0])
        if reason := _dimension_problem(first, dimensions):
            problems = [Problem(0, field, reason)]
        else:
            other = f"has another dimension than the first item, which has {first}"
            problems = [Problem(item, field, other) for item, one in enumerate(vectors) if len(one) != first]
    if problems:
        raise ValidationError(problems)
    return vectors


def to_binary(vector: array[float]) -> bytes:
    """Write a vector in pgvector's binary format: its dimension, two bytes unused, big-endian floats."""
    numbers = array("f", vector)
    if sys.byteorder == "little":
        numbers.byteswap()
    return len(numbers).to_bytes(2, "big") + b"\0\0" + numbers.tobytes()


def _numbers(value: object) -> array[float] | str:
    """Return the numbers of a vector, or what is wrong with it."""
    listed = value.tolist() if isinstance(value, SupportsToList) else value
    if isinstance(listed, str | bytes) or not isinstance(listed, Sequence):
        return "must be a sequence of numbers"
    numbers = cast("Sequence[float]", listed)
    if not 0 < len(numbers) <= _MOST:
        return "must not be empty" if not numbers else f"has more than {_MOST} numbers"
    try:
        length = math.hypot(*numbers)
        packed = _packed(value, numbers)
    except (TypeError, OverflowError):
        return "must be a sequence of numbers"
    return _length_problem(length, numbers) or packed


def _packed(value: Any, numbers: Sequence[float]) -> array[float]:
    """Bring numbers to single precision. An array of numpy's does that itself, ten times as fast."""
    if getattr(getattr(value, "dtype", None), "kind", None) == "f" and hasattr(value, "astype"):
        return array("f", value.astype("f4").tobytes())
    return array("f", numbers)


def _length_problem(length: float, numbers: Sequence[float]) -> str | None:
    if not math.isfinite(length):
        return "holds NaN or an infinite number"
    if not length:
        return "has no direction: all of its numbers are 0"
    if not _SHORTEST < length < _LONGEST:
        return f"has a length outside {_SHORTEST:g} to {_LONGEST:g}; normalise it"
    if len(numbers) > _HALF_FROM and max(map(abs, numbers)) > _MOST_HALF:
        return f"holds a number beyond {_MOST_HALF:g}, the most of half precision; normalise it"
    return None


def _dimension_problem(dimension: int, dimensions: Sequence[int]) -> str | None:
    if dimension in dimensions:
        return None
    return f"has {dimension} numbers; there are tables for {', '.join(map(str, dimensions))}"
