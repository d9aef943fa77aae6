from __future__ import annotations

import asyncio
import socket
import traceback
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem_store import connect, errors
from agentmem_store.address import each_host, options
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.query import Query
from agentmem_store.repositories import agents
from agentmem_store.scope import Scope
from tests.catalogue import all_queries
from tests.proxy import proxied
from tests.servers import on_database, open_directory


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("postgres://u@h/d", "postgresql://u@h/d"),
        ("postgresql+asyncpg://u@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg://u@h/d?ssl=require", "postgresql://u@h/d?sslmode=require"),
        ("POSTGRES://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u@h/d?ssl=true", "postgresql://u@h/d?sslmode=require"),
        ("postgresql://u:p@ss:w%@h/d", "postgresql://u:p%40ss%3Aw%25@h/d"),
        ("postgresql://u:p%40ss@h/d", "postgresql://u:p%40ss@h/d"),
        ("postgresql://h/d?user=u&password=a+b", "postgresql://h/d?user=u&password=a%2Bb"),
        (
            "postgresql://h/d?connect_timeout=3&keepalives_idle=9&options=-c%20x=1",
            "postgresql://h/d?options=-c%20x%3D1",
        ),
        (
            "postgresql://u@h1:1,h2:2/d?target_session_attrs=read-write",
            "postgresql://u@h1:1,h2:2/d?target_session_attrs=read-write",
        ),
        ("postgresql://u@/d?host=/run/pg", "postgresql://u@/d?host=/run/pg"),
        ("embedded:./data", "embedded:./data"),
    ],
)
def test_spellings_of_a_dsn(given: str, normal: str) -> None:
    assert connect.normalize(given) == normal
    assert connect.normalize(normal) == normal


def test_what_the_driver_cannot_do_is_refused() -> None:
    with pytest.raises(errors.ConfigurationError, match="channel_binding=require, which the driver cannot do"):
        connect.normalize("postgresql://u@h/d?sslmode=require&channel_binding=require")


@pytest.mark.parametrize(
    ("dsn", "each"),
    [
        ("postgresql://u@h:1/d?a=b", ["postgresql://u@h:1/d?a=b"]),
        ("postgresql://u:p@h1:1,h2/d?a=b", ["postgresql://u:p@h1:1/d?a=b", "postgresql://u:p@h2/d?a=b"]),
        ("postgresql://u@/d?host=/x,/y&port=1,2", ["postgresql://u@/d?host=/x&port=1", "postgresql://u@/d?host=/y&port=2"]),
        ("postgresql://u@/d?host=/x,y&port=1", ["postgresql://u@/d?host=/x&port=1", "postgresql://u@/d?host=y&port=1"]),
        ("postgresql:///d", ["postgresql:///d"]),
    ],
)  # fmt: skip
def test_a_dsn_of_several_hosts_is_taken_apart(dsn: str, each: list[str]) -> None:
    assert each_host(dsn) == each


def test_ports_that_do_not_match_the_hosts_are_refused() -> None:
    with pytest.raises(errors.ConfigurationError, match="several ports"):
        each_host("postgresql://u@/d?host=/x,/y,/z&port=1,2")


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


async def test_a_first_host_that_never_answers_takes_only_its_part_of_the_time(server: str) -> None:
    home, port = options(server)["host"], options(server)["port"]
    with open_directory() as place, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{place}/.s.PGSQL.{port}")
        silent.listen()
        hosts = f"postgresql://postgres@/postgres?host={place},{place}/none,{home}&port={port}"
        connection = await connect.connect(hosts, timeout_s=1)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


async def test_a_dead_peer_is_noticed_by_the_kernel(server: str) -> None:
    async with proxied(server) as (_, through):
        connection = await connect.connect(through)
        peer: socket.socket = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        expected = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}
        known = {name: value for name, value in expected.items() if hasattr(socket, name)}
        assert {name: peer.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in known} == known
        await connection.close()


PLANTED = "hunter2secret"
texts = st.text(st.characters(codec="ascii", exclude_characters="&"), max_size=5)
SPELLINGS = [
    "postgresql://u:{}@127.0.0.1:1/app",
    "postgres://u:{}@127.0.0.1:1,127.0.0.1:2/app?target_session_attrs=read-write",
    "postgresql+asyncpg://u:{}@/app?host=/nowhere,/neither",
    "postgresql://127.0.0.1:1/app?user=u&password={}",
    "postgresql://127.0.0.1:1/app?sslmode=verify-full&sslrootcert=/none&password={}",
    "postgresql://u@127.0.0.1:{}/app",
    "postgresql://u@127.0.0.1/app?port={}",
    "mysql://u:{}@127.0.0.1:1/app",
    "u:{}@127.0.0.1:1/app",
]


async def complaint(dsn: str) -> Exception:
    try:
        connection = await connect.connect(dsn, timeout_s=1)
    except errors.AgentMemError as error:
        return error
    await connection.close()
    raise AssertionError("it connected")


@given(st.sampled_from(SPELLINGS), texts, texts, st.booleans())
@settings(max_examples=200)
def test_a_password_is_never_told(spelling: str, before: str, after: str, is_encoded: bool) -> None:
    password = before + PLANTED + after
    dsn = spelling.format(quote(password, safe="") if is_encoded else password)
    error = asyncio.run(complaint(dsn))
    told = "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))
    assert PLANTED not in told
    with suppress(errors.ConfigurationError):
        assert PLANTED not in connect.describe(connect.normalize(dsn)) + repr(Database(dsn))


@pytest.fixture(params=["shared", "vector_shared"])
def migrated(request: pytest.FixtureRequest) -> tuple[str, list[Query[Any]]]:
    """A database, and the statements that it has the tables for."""
    has_vectors = request.param == "vector_shared"
    return request.getfixturevalue(request.param), [
        query for query in all_queries() if has_vectors or "_embeddings_" not in query.sql
    ]


@pytest.mark.own_sessions
async def test_a_new_connection_looks_nothing_up(migrated: tuple[str, list[Query[Any]]]) -> None:
    """Each statement of the library is prepared in the one round trip that it takes: no type has to be asked for."""
    dsn, queries = migrated
    async with proxied(dsn) as (proxy, through):
        connection = await connect.connect(through)
        prepared = [await connection.prepare(query.text) for query in queries]  # one that is dropped is closed
        assert len(prepared) == len(queries)
        assert proxy.round_trips == len(queries)
        await connection.close()


@pytest.mark.own_sessions
async def test_the_first_query_on_a_new_connection_takes_two_round_trips(db: Database, tenant: Scope) -> None:
    agent = await agents.create(tenant, NewAgent())
    config = DEVELOPMENT.with_(max_size=1, slow_query_ms=60_000)
    async with proxied(db.dsn) as (proxy, through), Database(through, config) as reader:
        before = proxy.round_trips
        await agents.get(reader.tenant(tenant.organization_id), agent.id)
        assert proxy.round_trips - before == 2


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
    assert await connection.fetchval("SHOW jit") == "off"
    assert await connection.fetchval("SHOW application_name") == "agentmem_store"
    await connection.close()


async def test_a_connection_that_ends_as_it_is_made_is_no_error_of_its_own(server: str) -> None:
    """The first statement on it tells; the kernel has nothing to be told any more."""
    async with proxied(server) as (_, through):
        connection = await connect.connect(through)
        transport: Any = getattr(connection, "_transport", None)
        connection.terminate()
        while transport.get_extra_info("socket").fileno() >= 0:
            await asyncio.sleep(0)
        connect._keep_alive(connection)
