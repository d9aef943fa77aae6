"""Vectors as callers give them: whatever holds numbers is taken, what cannot be stored is named without its value."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem_store.errors import ValidationError
from agentmem_store.models.embeddings import DIMENSIONS
from agentmem_store.vectors import check_vector, check_vectors, to_binary

FLOATS = st.floats(-1e6, 1e6, width=32).map(lambda number: number + 0.0)
# 256 of them, but not each of its own: drawing them would take most of the time.
NUMBERS = (
    st.lists(FLOATS, min_size=16, max_size=16)
    .filter(lambda numbers: any(abs(number) > 1e-3 for number in numbers))
    .map(lambda numbers: 16 * numbers)
)


@settings(max_examples=50)
@given(numbers=NUMBERS)
def test_every_form_of_the_same_vector_is_stored_alike(numbers: list[float]) -> None:
    forms = [
        numbers,
        tuple(numbers),
        array("f", numbers),
        array("d", numbers),
        np.array(numbers, "f4"),
        np.array(numbers, "f8"),
        np.array(numbers, ">f4"),
        np.array([numbers, numbers], "f4")[:, ::1][1],
    ]
    for vector in check_vectors(forms, DIMENSIONS):
        assert vector.tolist() == numbers


@settings(max_examples=50)
@given(numbers=NUMBERS)
def test_the_binary_form_is_pgvectors(numbers: list[float]) -> None:
    dimension, unused, *read = struct.unpack(">HH256f", to_binary(check_vector(numbers, DIMENSIONS)))
    assert (dimension, unused, read) == (256, 0, numbers)


def test_half_precision_is_taken_as_it_is() -> None:
    halves = np.linspace(-1, 1, 384).astype("f2")
    assert check_vector(halves, DIMENSIONS).tolist() == halves.astype("f4").tolist()


def test_a_matrix_is_a_vector_in_each_row() -> None:
    matrix = np.eye(3, 384, dtype="f8")
    assert [vector.tolist() for vector in check_vectors(matrix, DIMENSIONS)] == matrix.tolist()


@settings(max_examples=50)
@given(numbers=NUMBERS, kind=st.sampled_from(["f2", "f4", "f8", ">f4"]), listed=st.booleans())
def test_rows_taken_together_are_what_they_are_one_by_one(numbers: list[float], kind: str, listed: bool) -> None:
    matrix = (np.array([numbers, numbers[::-1], numbers]) / 1e3).astype(kind)
    expected = [check_vector(list(row), DIMENSIONS) for row in matrix.tolist()]
    assert check_vectors(list(matrix) if listed else matrix, DIMENSIONS) == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_a_row_among_many_that_cannot_be_stored_is_named(value: float, kind: str) -> None:
    matrix = np.ones((9, 384), kind)
    matrix[4, 7] = value
    matrix[6] = 0
    for form in (matrix, list(matrix)):
        with pytest.raises(ValidationError) as caught:
            check_vectors(form, DIMENSIONS)
        assert [problem.item for problem in caught.value.problems] == [4, 6]


def test_what_is_masked_is_not_stored() -> None:
    matrix = np.ma.masked_equal(np.eye(2, 384) + 1, 2)
    with pytest.raises(ValidationError, match="numbers"):
        check_vectors(matrix, DIMENSIONS)


@pytest.mark.parametrize("empty", [[], (), np.empty((0, 384))])
def test_no_vectors_are_no_error(empty: Any) -> None:
    assert check_vectors(empty, DIMENSIONS) == []


def filled(value: Any, number: int = 384) -> list[Any]:
    return [1.0] * (number - 1) + [value]


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ([], "empty"),
        (filled(float("nan")), "NaN"),
        (filled(float("inf")), "infinite"),
        (filled(float("-inf")), "infinite"),
        (np.array(filled(np.nan), "f2"), "NaN"),
        ([0.0] * 384, "no direction"),
        ([1e-30] * 384, "length"),
        (filled(1e30), "length"),
        (filled(10**400), "numbers"),
        (filled("secret"), "numbers"),
        (filled(None), "numbers"),
        (np.ones((2, 384)), "numbers"),
        (np.array(["a"] * 384), "numbers"),
        ("secret", "numbers"),
        (b"secret", "numbers"),
        (7, "numbers"),
        (None, "numbers"),
        ({1.0}, "numbers"),
        ([1.0] * 385, "385 numbers"),
        ([1.0] * 20_000, "more than"),
        (filled(70_000.0, 3072), "half precision"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_place_and_not_by_its_value(vector: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        check_vectors([[1.0] * 384, vector], (*DIMENSIONS, 384)) if reason != "385 numbers" else check_vectors(
            [vector], DIMENSIONS
        )
    (problem,) = caught.value.problems
    assert problem.item == (0 if reason == "385 numbers" else 1)
    assert "secret" not in str(caught.value)
    assert "70000" not in str(caught.value)


def test_one_dimension_in_a_batch() -> None:
    with pytest.raises(ValidationError) as caught:
        check_vectors([[1.0] * 384, [1.0] * 384, [1.0] * 768, []], DIMENSIONS)
    assert [problem.item for problem in caught.value.problems] == [3]
    with pytest.raises(ValidationError) as caught:
        check_vectors([[1.0] * 384, [1.0] * 768, [1.0] * 384, [1.0] * 256], DIMENSIONS)
    assert [problem.item for problem in caught.value.problems] == [1, 3]
    with pytest.raises(ValidationError):
        check_vectors(7, DIMENSIONS)
