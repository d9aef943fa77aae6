"""From a DSN to one asyncpg connection: embedded server, hosts, deadline, pooler, keepalive, codecs."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from agentmem_store import errors
from agentmem_store.address import EMBEDDED, UNREADABLE, describe, each_host, normalize, options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from agentmem_store.config import PoolConfig

    Connection = asyncpg.Connection[asyncpg.Record]
    Opening = Callable[..., Awaitable[Connection]]
else:
    Connection = asyncpg.Connection

__all__ = ["POOLER_FOUND", "Connection", "behind_pooler", "connect", "describe", "for_pool", "normalize", "serving"]

# The host is not there, not up, or not what is asked for; of any other error the next host would say the same.
_TRY_THE_NEXT: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TargetServerAttributeNotMatched,
)

POOLER_FOUND: Final = (
    "a pooler such as PgBouncer stands before the server: set pooler='transaction' in PoolConfig "
    "(AGENTMEM_POOLER=transaction), and give migrations a DSN of the server itself (migration_dsn, "
    "AGENTMEM_MIGRATION_DSN)"
)

# Our statements are written to be planned once. Left to itself the server plans those over arrays at every call, since
# a plan for one known element looks cheaper than one for ten: 500 against 250 µs for the same insert (measured).
# Without JIT: generic plans of searches look dear enough for it, and compiling takes longer than running (7.6 s instead
# of 18 ms, measured on a server that has it).
_SESSION: Final = {"plan_cache_mode": "force_generic_plan", "jit": "off"}

# The array types our statements use. The driver would look them up on every new connection (8 round trips, measured);
# their numbers are fixed in the server's catalog (pg_type.dat), so they are told to it instead.
_ARRAYS: Final = {
    "_bool": (1000, 16),
    "_int4": (1007, 23),
    "_int8": (1016, 20),
    "_float4": (1021, 700),
    "_float8": (1022, 701),
    "_timestamptz": (1185, 1184),
    "_uuid": (2951, 2950),
}
_ARRAY_RECORDS: Final = [
    {
        "oid": oid, "ns": "pg_catalog", "name": name, "kind": b"b", "basetype": None, "elemtype": element,
        "elemdelim": ",", "range_subtype": None, "attrtypoids": None, "attrnames": None, "depth": 1,
        "basetype_name": None, "elemtype_name": name[1:], "range_subtype_name": None,
    }
    for name, (oid, element) in _ARRAYS.items()
]  # fmt: skip


@asynccontextmanager
async def serving(dsn: str) -> AsyncGenerator[str, None]:
    """Yield the DSN of the server really in use; an ``embedded:`` one is started first and left afterwards.

    Args:
        dsn: a PostgreSQL DSN, or ``embedded:DIRECTORY`` (``embedded:`` for the default directory).

    Raises:
        ConfigurationError: the DSN or the embedded server's directory cannot work.
        ConnectError: the embedded server did not start.
    """
    dsn = normalize(dsn)
    if not dsn.startswith(EMBEDDED):
        yield dsn
        return
    from agentmem_store import embedded

    async with embedded.running(dsn.removeprefix(EMBEDDED)) as server:
        yield server.dsn


async def connect(
    dsn: str,
    *,
    timeout_s: float = 10,
    command_timeout_s: float | None = None,
    application_name: str = "agentmem_store",
    pooler: bool = False,
    prepared_statements: bool | None = None,
) -> Connection:
    """Open one connection. Of several hosts, each gets its part of the time, and the first that serves is taken.

    Args:
        dsn: a PostgreSQL DSN of a running server; names are looked up anew at each call.
        timeout_s: seconds for the whole of connecting, TLS and authentication included.
        command_timeout_s: seconds one statement may take by default; None for no limit.
        application_name: what pg_stat_activity shows.
        pooler: whether a transaction pooler stands before the server, so that a session can hold no state.
        prepared_statements: whether statements stay prepared; None: unless there is a pooler.

    Raises:
        ConnectError: no host can be reached, the user is refused, or there is no such database.
        ConfigurationError: the DSN cannot be read, or a pooler is in the way.
    """
    if prepared_statements is None:
        prepared_statements = not pooler
    settings = {"application_name": application_name, **({} if pooler else _SESSION)}
    opening = partial(
        asyncpg.connect,
        command_timeout=command_timeout_s,
        server_settings=settings,
        connection_class=_Sessionless if pooler else asyncpg.Connection,
        # The driver would keep no statement beyond 15 kB, and a search by words and a vector has 20.
        max_cacheable_statement_size=0,
        # By default 100, and the library has more. Each is planned anew after the driver's five minutes.
        statement_cache_size=500 if prepared_statements else 0,
    )
    dsn = normalize(dsn)
    try:
        connection = await _first_of(_candidates(dsn), opening, timeout_s)
    except errors.DRIVER_ERRORS as error:
        raise _refused(error, dsn) from _cause(error)
    _keep_alive(connection)
    _register_arrays(connection)
    return connection


async def for_pool(dsn: str, config: PoolConfig) -> Connection:
    """Open one connection as a pool's settings say. See `connect`."""
    return await connect(
        dsn,
        timeout_s=config.connect_timeout_s,
        command_timeout_s=config.command_timeout_s,
        pooler=config.pooler is not None,
        prepared_statements=config.prepared_statements,
    )


class _Sessionless(Connection):
    """A connection whose session is another at each transaction: what could be reset would be somebody else's."""

    def get_reset_query(self) -> str:
        return ""


def _candidates(dsn: str) -> list[str]:
    """Return the DSNs to try in turn; to prefer a standby, the driver has to see all hosts at once."""
    return [dsn] if options(dsn).get("target_session_attrs") == "prefer-standby" else each_host(dsn)


async def _first_of(dsns: list[str], opening: Opening, timeout_s: float) -> Connection:
    """Connect to the first that serves. The driver would spend all the time on a first host that is a black hole."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    for left, dsn in zip(range(len(dsns), 1, -1), dsns, strict=False):
        with suppress(*_TRY_THE_NEXT):
            return await opening(dsn, timeout=(ends - loop.time()) / left)
    return await opening(dsns[-1], timeout=ends - loop.time())


async def behind_pooler(connection: Connection) -> bool:
    """Tell whether a pooler such as PgBouncer stands between us and the server. One round trip.

    A pooler gives its client a process number of its own making, not that of the server's process behind it.
    """
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid != connection.get_server_pid()


def _refused(error: Exception, dsn: str) -> errors.AgentMemError:
    """Say in one line why no connection came about."""
    where = describe(dsn)
    if isinstance(error, asyncpg.ClientConfigurationError):
        return errors.ConfigurationError(_of_tls(error) or UNREADABLE)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        wanted = options(dsn).get("target_session_attrs")
        return errors.ConnectError(f"{where}: no host that answers has target_session_attrs={wanted}")
    if isinstance(error, asyncpg.PostgresError):
        return _refused_by_server(error, where)
    if isinstance(error, OSError):
        return _out_of_reach(error, dsn)
    return errors.ConnectError(f"{where}: cannot connect ({type(error).__name__})")


def _refused_by_server(error: asyncpg.PostgresError, where: str) -> errors.AgentMemError:
    said = str(error.args[0]) if error.args else type(error).__name__
    if "startup parameter" in said:  # PgBouncer's words; a server of PostgreSQL's has no such complaint
        return errors.ConfigurationError(f"{where}: {POOLER_FOUND}")
    return errors.ConnectError(f"{where}: the server refused the connection: {said}", sqlstate=error.sqlstate)


def _out_of_reach(error: OSError, dsn: str) -> errors.AgentMemError:
    where = describe(dsn)
    if isinstance(error, TimeoutError):
        return errors.ConnectError(f"{where}: no answer in time: check host, port and firewall")
    if isinstance(error, socket.gaierror):
        return errors.ConnectError(f"{where}: the host name cannot be resolved")
    if isinstance(error, ssl.SSLCertVerificationError):
        return errors.ConnectError(f"{where}: the server's certificate is not accepted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return errors.ConnectError(f"{where}: TLS failed ({error.reason})")
    if "rejected SSL upgrade" in str(error):
        return errors.ConnectError(f"{where}: the server offers no TLS, which the DSN's sslmode asks for")
    if missing := _missing_file(dsn):
        return errors.ConfigurationError(f"the file that {missing} names in the DSN cannot be read")
    reason = os.strerror(error.errno) if error.errno else "no connection"
    return errors.ConnectError(f"{where}: cannot connect ({reason}): is the server running there?")


def _of_tls(error: Exception) -> str | None:
    """Return the driver's words about TLS, which quote no more than file names; its others may quote the DSN."""
    said = str(error.args[0])
    is_safe = said.startswith(("`ssl", "root certificate file", "direct TLS"))
    return f"the DSN cannot be read: {said}" if is_safe else None


def _missing_file(dsn: str) -> str | None:
    given = options(dsn)
    files = (name for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl") if name in given)
    return next((name for name in files if not os.access(given[name], os.R_OK)), None)


def _cause(error: Exception) -> Exception | None:
    """Return what a traceback may show beside our error: not a complaint that quotes a part of the DSN."""
    quotes = isinstance(error, asyncpg.ClientConfigurationError | ValueError | TypeError)
    return None if quotes and not isinstance(error, OSError) else error


def _keep_alive(connection: Connection) -> None:
    """Let the kernel notice a dead peer; the driver sets only TCP_NODELAY."""
    transport: Any = getattr(connection, "_transport", None)
    sock: Any = transport.get_extra_info("socket") if transport else None
    if sock is None or sock.family == socket.AF_UNIX:
        return
    with suppress(OSError):  # it has ended already, as its first statement will tell
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", 30),
            ("TCP_KEEPINTVL", 10),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", 10_000),
        ):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _register_arrays(connection: Any) -> None:
    """Tell the driver our array types, so that a new connection spends no round trips on looking them up."""
    # There is no public way that does not ask the server first.
    connection._protocol.get_settings().register_data_types(_ARRAY_RECORDS)  # noqa: SLF001 - see above
