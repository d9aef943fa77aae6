"""What is taken out of the driver's errors, and what is left to look at."""

from __future__ import annotations

import traceback
from typing import Any

import asyncpg
import pytest

from agentmem_store.errors import AgentMemError, from_driver

SECRET = "planted-secret"


def raised_from(cause: BaseException) -> AgentMemError:
    """Our error as an application catches it."""
    try:
        raise from_driver(cause, "agents.create") from cause
    except AgentMemError as error:
        return error


def server_error(**fields: str) -> Any:
    return asyncpg.PostgresError.new({"M": "said", "D": SECRET, "W": SECRET, "q": SECRET, **fields}, query="SELECT $1")


def test_a_violation_keeps_what_names_it_and_loses_the_row() -> None:
    cause = server_error(C="23505", H="a hint", n="agents_name_key")
    error = raised_from(cause)
    assert (cause.args, cause.sqlstate, cause.constraint_name, cause.query) == (
        ("said",), "23505", "agents_name_key", "SELECT $1",
    )  # fmt: skip
    assert (cause.detail, cause.context, cause.internal_query, cause.hint) == (None, None, None, "a hint")
    assert SECRET not in "".join(traceback.format_exception(error))
    assert error.__cause__ is cause


@pytest.mark.parametrize(
    ("fields", "is_kept"),
    [
        ({"C": "42601", "P": "8"}, True),  # in the statement's own text
        ({"C": "42601"}, False),  # within a value, such as a tsquery
        ({"C": "22P02"}, False),
        ({"C": "42P01", "P": "8"}, True),
        ({"C": "40P01"}, True),
    ],
)
def test_a_message_is_kept_unless_it_quotes_a_value(fields: dict[str, str], is_kept: bool) -> None:
    told = "".join(traceback.format_exception(raised_from(server_error(M="the words", **fields))))
    assert ("the words" in told) == is_kept
    assert SECRET not in told


def test_what_the_driver_could_not_encode_is_not_told_by_any_of_the_chain() -> None:
    try:
        try:
            f"{SECRET}\ud800".encode()
        except UnicodeEncodeError as error:
            raise asyncpg.DataError(f"invalid input: {SECRET!r}") from error
    except asyncpg.DataError as error:
        failure = raised_from(error)
    assert failure.__cause__ is not None
    assert failure.__cause__.__cause__ is failure.__cause__.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(failure)) + repr(failure.__cause__)


def test_the_applications_own_error_stays_the_context() -> None:
    try:
        try:
            raise KeyError("of the application")  # noqa: TRY301
        except KeyError:
            raise server_error(C="40001")  # noqa: B904 - as it comes when a statement fails within an except block
    except asyncpg.PostgresError as error:
        told = "".join(traceback.format_exception(raised_from(error)))
    assert "of the application" in told
