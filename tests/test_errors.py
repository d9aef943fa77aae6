from __future__ import annotations

import inspect
import re

import asyncpg
import pytest

from agentmem_store import errors
from agentmem_store.errors import Problem, from_driver

SECRET = "planted-secret"


def server_error(sqlstate: str, message: str = "said") -> asyncpg.PostgresError:
    error = asyncpg.PostgresError.new({"C": sqlstate, "M": message, "D": f"Key (name)=({SECRET}) already exists."})
    assert isinstance(error, asyncpg.PostgresError)
    return error


EXPECTED = {
    "08006": (errors.ConnectionLost, "unknown"),
    "57P01": (errors.ConnectionLost, "unknown"),
    "57P03": (errors.ConnectError, "not_sent"),
    "53300": (errors.ConnectError, "not_sent"),
    "28P01": (errors.ConnectError, "not_sent"),
    "40001": (errors.TransactionRolledBack, "rolled_back"),
    "40P01": (errors.TransactionRolledBack, "rolled_back"),
    "55P03": (errors.LockTimeout, "rolled_back"),
    "57014": (errors.StatementTimeout, "permanent"),
    "25006": (errors.ReadOnly, "permanent"),
    "23505": (errors.Conflict, "permanent"),
    "23503": (errors.ConstraintViolation, "permanent"),
    "53100": (errors.InsufficientResources, "rolled_back"),
    "42P01": (errors.SchemaMissing, "permanent"),
    "42601": (errors.DatabaseError, "permanent"),
    "22003": (errors.DatabaseError, "permanent"),
}


@pytest.mark.parametrize("sqlstate", EXPECTED)
def test_a_sqlstate_becomes_one_of_ours(sqlstate: str) -> None:
    kind, outcome = EXPECTED[sqlstate]
    error = from_driver(server_error(sqlstate), "agents.create")
    assert type(error) is kind
    assert (error.sqlstate, error.query, error.outcome) == (sqlstate, "agents.create", outcome)


@pytest.mark.parametrize("sqlstate", EXPECTED)
def test_no_value_gets_into_a_message(sqlstate: str) -> None:
    message = f'invalid input syntax for type uuid: "{SECRET}"' if sqlstate.startswith("22") else "said"
    error = from_driver(server_error(sqlstate, message))
    assert SECRET not in str(error)
    assert SECRET not in repr(vars(error))


def test_every_server_error_of_the_driver_is_mapped() -> None:
    members: list[type] = [kind for _, kind in inspect.getmembers(asyncpg.exceptions, inspect.isclass)]
    states = {kind.sqlstate for kind in members if issubclass(kind, asyncpg.PostgresError) and kind.sqlstate}
    assert len(states) > 200
    for state in states:
        assert isinstance(from_driver(server_error(state)), errors.AgentMemError)


@pytest.mark.parametrize(
    ("raised", "kind", "outcome"),
    [
        (TimeoutError(), errors.StatementTimeout, "permanent"),
        (ConnectionResetError(), errors.ConnectionLost, "unknown"),
        (ValueError(SECRET), errors.DatabaseError, "permanent"),
        (asyncpg.InterfaceError("connection is closed"), errors.ConnectionLost, "not_sent"),
        (asyncpg.InternalClientError("cannot switch to state 12"), errors.ConnectionLost, "not_sent"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_no_server_error(raised: Exception, kind: type[errors.AgentMemError], outcome: str) -> None:
    error = from_driver(raised, "q")
    assert type(error) is kind
    assert error.outcome == outcome
    assert SECRET not in str(error)


def test_the_docstring_names_every_error() -> None:
    named = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    defined = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert named == defined - {"AgentMemError", "Problem"}


def test_a_problem_reads_as_one_line() -> None:
    assert str(Problem(None, "name", "is too long")) == "name: is too long"
    assert str(Problem(3, "name", "is too long")) == "item 3: name: is too long"
    both = errors.ValidationError([Problem(0, "a", "x"), Problem(1, "b", "y")])
    assert str(both) == "item 0: a: x; item 1: b: y"
