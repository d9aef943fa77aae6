from __future__ import annotations

import asyncio
import socket

import pytest

from agentmem_store import connect, errors
from tests.servers import on_database


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("postgres://u@h/d", "postgresql://u@h/d"),
        ("postgresql+asyncpg://u@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg://u@h/d?ssl=require", "postgresql://u@h/d?sslmode=require"),
        ("POSTGRES://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u@/d?host=/run/pg", "postgresql://u@/d?host=%2Frun%2Fpg"),
        ("embedded:./data", "embedded:./data"),
    ],
)
def test_spellings_of_a_dsn(given: str, normal: str) -> None:
    assert connect.normalize(given) == normal


def test_something_else_is_refused_without_being_shown() -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        connect.normalize("mysql://root:secret@host/db")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://user:secret@db.example:5432/app", "db.example:5432/app"),
        ("postgresql://user:secret@/app?host=/run/pg", "/run/pg/app"),
        ("postgresql:///app", "the default host/app"),
    ],
)
def test_what_may_be_shown_of_a_dsn(dsn: str, shown: str) -> None:
    assert connect.describe(dsn) == shown


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(errors.ConnectError, match=r"127\.0\.0\.1:1/app: cannot connect") as caught:
        await connect.connect("postgresql://user:secret@127.0.0.1:1/app")
    assert "secret" not in str(caught.value)


async def test_a_host_name_that_does_not_resolve() -> None:
    with pytest.raises(errors.ConnectError, match="cannot be resolved"):
        await connect.connect("postgresql://user@no-such-host.invalid/app")


async def test_a_database_that_is_not_there(server: str) -> None:
    with pytest.raises(errors.ConnectError, match="does not exist") as caught:
        await connect.connect(on_database(server, "no_such_database"))
    assert caught.value.sqlstate == "3D000"


async def test_a_dsn_that_cannot_be_read() -> None:
    with pytest.raises(errors.ConfigurationError, match="cannot be read"):
        await connect.connect("postgresql://user@host/app?sslmode=sometimes")


async def test_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(errors.ConnectError, match="no answer in time"):
            await connect.connect(f"postgresql://user@127.0.0.1:{port}/app", timeout_s=0.05)


async def test_array_types_need_no_look_up(server: str) -> None:
    connection = await connect.connect(server)
    seen: list[str] = []
    with connection.query_logger(lambda record: seen.append(record.query)):
        row = await connection.fetchrow(
            "SELECT $1::uuid[], $2::int[], $3::bigint[], $4::float8[], $5::timestamptz[], $6::bool[], $7::real[]",
            *([] for _ in range(7)),
        )
        await asyncio.sleep(0)
    await connection.close()
    assert row is not None
    assert list(row) == [[] for _ in range(7)]
    assert len(seen) == 1


async def test_statements_are_planned_once(server: str) -> None:
    connection = await connect.connect(server)
    assert await connection.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
    assert await connection.fetchval("SHOW application_name") == "agentmem_store"
    await connection.close()
