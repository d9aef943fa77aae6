"""From a DSN to one asyncpg connection: spelling, embedded server, deadline, keepalive, codecs."""

from __future__ import annotations

import os
import re
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from agentmem_store import errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["connect", "describe", "normalize", "serving"]

EMBEDDED: Final = "embedded:"
_SCHEME: Final = re.compile(r"^(postgres|postgresql)(\+[a-z0-9_]+)?://", re.IGNORECASE)

_HOST: Final = re.compile(r"([\w.%-]*|\[[\w:.%]*\])(:\d*)?")
_UNREADABLE: Final = (
    "the DSN cannot be read: percent-encode / ? # @ [ ] and % in user and password, and see that the port is a number"
)

# Our statements are written to be planned once. Left to itself the server plans those over arrays at every call, since
# a plan for one known element looks cheaper than one for ten: 500 against 250 µs for the same insert (measured).
_SESSION: Final = {"plan_cache_mode": "force_generic_plan"}

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


def normalize(dsn: str) -> str:
    """Bring the usual spellings of a DSN to the one the driver reads.

    ``postgres://``, ``postgresql+asyncpg://`` and ``?ssl=…`` become ``postgresql://`` and ``?sslmode=…``.

    Raises:
        ConfigurationError: it is not a PostgreSQL DSN.
    """
    if dsn.startswith(EMBEDDED):
        return dsn
    if not _SCHEME.match(dsn):
        raise errors.ConfigurationError(
            "the DSN must start with postgresql:// (or embedded: for a private server); check AGENTMEM_DSN"
        )
    parts = _split(_SCHEME.sub("postgresql://", dsn))
    options = [("sslmode" if key == "ssl" else key, value) for key, value in parse_qsl(parts.query)]
    return urlunsplit(parts._replace(query=urlencode(options)))


def _split(dsn: str) -> SplitResult:
    """Take a DSN apart. One that is not percent-encoded would be taken apart in the middle of its password."""
    try:
        parts = urlsplit(dsn)
    except ValueError:  # a [ without its ]
        raise errors.ConfigurationError(_UNREADABLE) from None
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if "@" in parts.path + parts.query or parts.fragment or not all(map(_HOST.fullmatch, hosts)):
        raise errors.ConfigurationError(_UNREADABLE)
    return parts


def describe(dsn: str) -> str:
    """Return the part of a DSN that may be shown: host, port and database; never user or password."""
    parts = urlsplit(dsn)
    hosts = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "the default host")
    return f"{hosts}{parts.path}"


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
    dsn: str, *, timeout_s: float = 10, command_timeout_s: float | None = None, application_name: str = "agentmem_store"
) -> asyncpg.Connection[asyncpg.Record]:
    """Open one connection.

    Args:
        dsn: a PostgreSQL DSN of a running server.
        timeout_s: seconds for the whole of connecting, TLS and authentication included.
        command_timeout_s: seconds one statement may take by default; None for no limit.
        application_name: what pg_stat_activity shows.

    Raises:
        ConnectError: the server cannot be reached, refuses the user, or has no such database.
        ConfigurationError: the DSN cannot be read.
    """
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=timeout_s,
            command_timeout=command_timeout_s,
            server_settings={"application_name": application_name, **_SESSION},
        )
    except asyncpg.ClientConfigurationError:
        raise errors.ConfigurationError(_UNREADABLE) from None
    except errors.DRIVER_ERRORS as error:
        raise _refused(error, dsn) from error
    _keep_alive(connection)
    _register_arrays(connection)
    return connection


def _refused(error: Exception, dsn: str) -> errors.ConnectError:
    """Say in one line why no connection came about."""
    where = describe(dsn)
    if isinstance(error, asyncpg.PostgresError):
        said = str(error.args[0]) if error.args else type(error).__name__
        return errors.ConnectError(f"{where}: the server refused the connection: {said}", sqlstate=error.sqlstate)
    if isinstance(error, TimeoutError):
        return errors.ConnectError(f"{where}: no answer in time: check host, port and firewall")
    if isinstance(error, socket.gaierror):
        return errors.ConnectError(f"{where}: the host name cannot be resolved")
    if isinstance(error, OSError):
        reason = os.strerror(error.errno) if error.errno else "no connection"
        return errors.ConnectError(f"{where}: cannot connect ({reason}): is the server running there?")
    return errors.ConnectError(f"{where}: cannot connect ({type(error).__name__})")


def _keep_alive(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Let the kernel notice a dead peer; the driver sets only TCP_NODELAY."""
    transport: Any = getattr(connection, "_transport", None)
    sock: Any = transport.get_extra_info("socket") if transport else None
    if sock is None or sock.family == socket.AF_UNIX:
        return
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
