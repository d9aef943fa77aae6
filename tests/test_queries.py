"""The catalogue: every statement is checked against the migrated schema and against the model its rows become."""

from __future__ import annotations

import re
import types
import typing
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from pydantic import BaseModel

from agentmem_store.models.base import Row
from tests.catalogue import all_queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.pq.abc import PGconn

    from agentmem_store.query import Query

QUERIES = all_queries()
# pg_type.oid → the Python type that the driver makes of it, before the model.
PYTHON_TYPES: dict[int, Any] = {
    16: bool,
    20: int,
    21: int,
    23: int,
    25: str,
    114: list,
    700: float,
    701: float,
    1184: datetime,
    2950: UUID,
    2951: list,
    3802: dict,
}
UUID_OID = 2950
JSONB_OID = 3802


@pytest.fixture(scope="module")
def of_core(shared: str) -> Iterator[PGconn]:
    with psycopg.connect(shared) as connection:
        yield connection.pgconn


@pytest.fixture(scope="module")
def of_vectors(vector_shared: str) -> Iterator[PGconn]:
    with psycopg.connect(vector_shared) as connection:
        yield connection.pgconn


@pytest.fixture
def libpq(request: pytest.FixtureRequest, query: Query[Any]) -> PGconn:
    """A database with the tables that a query names; it skips where there is no pgvector for them."""
    found: PGconn = request.getfixturevalue("of_vectors" if "_embeddings_" in query.sql else "of_core")
    return found


def described(libpq: PGconn, query: Query[Any]) -> Any:
    prepared = libpq.prepare(b"", query.text.encode())
    assert not prepared.error_message, prepared.error_message.decode()
    return libpq.describe_prepared(b"")


def test_names_are_unique_and_say_where_they_belong() -> None:
    assert len(QUERIES) > 50
    assert all(re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", query.name) for query in QUERIES)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_a_query_is_written_as_promised(query: Query[Any]) -> None:
    assert query.text.startswith(f"-- name: {query.name}\n")
    without_strings = re.sub(r"'[^']*'", "''", query.sql)
    assert not re.search(r"\bSELECT\s+\*|\bRETURNING\s+\*|\.\*|,\s*\*\s*(,|FROM)", without_strings), "explicit columns"
    assert not re.search(r"[{}%]s?\(|%s|\{\w+\}", without_strings), "parameters only"
    for target in re.findall(r"\b(?:INTO|UPDATE|DELETE FROM)\s+([a-z_.]+)", without_strings):
        if target not in {"of", "skip", "set"}:
            assert target.startswith("agentmem."), "schema-qualified"


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_the_server_takes_it_and_its_rows_fit_the_model(libpq: PGconn, query: Query[Any]) -> None:
    result = described(libpq, query)
    columns = {result.fname(i).decode(): i for i in range(result.nfields)}
    if not issubclass(query.row, BaseModel):
        assert len(columns) == 1
        (column,) = columns.values()
        assert PYTHON_TYPES[result.ftype(column)] is query.row
        return
    fields = flat_fields(query.row)
    assert set(columns) >= {name for name, field in fields.items() if field.is_required()}
    for name, column in columns.items():
        assert name in fields, f"column {name} is not in {query.row.__name__}"
        check_column(libpq, result, column, fields[name].annotation, f"{query.name}: {name}")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_the_tenant_is_the_first_parameter(libpq: PGconn, query: Query[Any]) -> None:
    if query.name.startswith(("organizations.", "server.", "transactions.")):
        return
    assert described(libpq, query).param_type(0) == UUID_OID
    tables = re.findall(r"\b(?:FROM|JOIN|USING|INTO|UPDATE)\s+agentmem\.(?!schema_migrations)([a-z_]+)", query.sql)
    assert tables
    bound = len(re.findall(r"\borganization_id = \$1|\bid = \$1|SELECT \$1,|VALUES \(\s*\$1", query.sql))
    assert bound >= len(tables), "each table of a statement is bound to the tenant"


def flat_fields(model: type[BaseModel]) -> dict[str, Any]:
    """The fields that a record's columns become; a hit holds a whole row beside its score."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Row):
            fields |= field.annotation.model_fields
        else:
            fields[name] = field
    return fields


def check_column(libpq: PGconn, result: Any, column: int, annotation: Any, where: str) -> None:
    is_union = typing.get_origin(annotation) in {typing.Union, types.UnionType}
    kinds = typing.get_args(annotation) if is_union else (annotation,)
    origins = [plain(kind) for kind in kinds]
    expected = PYTHON_TYPES[result.ftype(column)]
    if result.ftype(column) == JSONB_OID:
        assert {dict, list} & set(origins), where
    else:
        assert expected in origins or typing.Literal in origins, where
    table, number = result.ftable(column), result.ftablecol(column)
    if table:
        nullable = not is_not_null(libpq, table, number)
        assert nullable == (type(None) in kinds), f"{where}: NULL in the table and None in the model differ"


def plain(kind: Any) -> Any:
    """The bare class behind Annotated and list[…]."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    return typing.get_origin(kind) or kind


def is_not_null(libpq: PGconn, table: int, number: int) -> bool:
    asked = libpq.exec_params(
        b"SELECT attnotnull FROM pg_attribute WHERE attrelid = $1::oid AND attnum = $2::int",
        [str(table).encode(), str(number).encode()],
    )
    return asked.get_value(0, 0) == b"t"
