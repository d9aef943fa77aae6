"""Vectors that callers pass in: checked before any I/O, and brought to one form, an array of C floats."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
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
_ROWS_AND_COLUMNS: Final = 2
# Where the largest number of each vector lies in between, each of them can be stored, whatever its dimension.
_ORDINARY: Final = (1e-10, _MOST_HALF)


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
    checked: list[array[float] | str] = [*_rows_of_matrix(values)]
    try:
        checked = checked or [_numbers(value) for value in cast("Iterable[object]", values)]
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
    numbers = vector[:]
    if sys.byteorder == "little":
        numbers.byteswap()
    return len(numbers).to_bytes(2, "big") + b"\0\0" + numbers.tobytes()


def _rows_of_matrix(values: Any) -> Iterator[array[float]]:
    """Yield the rows of a matrix of numpy's, or of as many arrays, all at once: eight times as fast as one by one.

    None of them if it is nothing of the kind, or if a row may not be storable: then each is looked at by itself.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return
    if isinstance(values, list | tuple):
        rows = cast("Sequence[object]", values)
        values = numpy.stack(rows) if rows and _are_alike(rows, numpy.ndarray) else None
    if type(values) not in (numpy.ndarray, numpy.memmap) or values.dtype.kind != "f":
        return
    if values.ndim != _ROWS_AND_COLUMNS or not values.size:
        return
    peaks = abs(values).max(axis=1)
    if not _ORDINARY[0] <= float(peaks.min()) <= float(peaks.max()) <= _ORDINARY[1]:
        return
    packed, size = values.astype("f4").tobytes(), 4 * values.shape[1]
    yield from (array("f", packed[start : start + size]) for start in range(0, len(packed), size))


def _are_alike(rows: Sequence[Any], kind: type) -> bool:
    return all(type(row) is kind for row in rows) and len({row.shape for row in rows}) == 1


def _numbers(value: object) -> array[float] | str:
    """Return the numbers of a vector, or what is wrong with it."""
    listed = value
    if not isinstance(value, list | tuple) and isinstance(value, SupportsToList):
        listed = value.tolist()
    if isinstance(listed, str | bytes) or not isinstance(listed, Sequence):
        return "must be a sequence of numbers"
    numbers = cast("Sequence[float]", listed)
    if not 0 < len(numbers) <= _MOST:
        return "must not be empty" if not numbers else f"has more than {_MOST} numbers"
    try:
        return _length_problem(math.hypot(*numbers), numbers) or array("f", _single(len(numbers)).pack(*numbers))
    except (TypeError, OverflowError, struct.error):
        return "must be a sequence of numbers"


@cache
def _single(count: int) -> struct.Struct:
    """Return how to bring numbers to single precision: faster than an array does that."""
    return struct.Struct(f"{count}f")


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
