"""What a DSN says: its spellings brought to one, its hosts one by one, and the part that may be shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from agentmem_store.errors import ConfigurationError

__all__ = ["EMBEDDED", "UNREADABLE", "describe", "each_host", "normalize", "options"]

EMBEDDED: Final = "embedded:"
UNREADABLE: Final = (
    "the DSN cannot be read: percent-encode / ? # @ [ ] and % in user and password, and see that the port is a number"
)
_SCHEME: Final = re.compile(r"^(postgres|postgresql)(\+[a-z0-9_]+)?://", re.IGNORECASE)
_HOST: Final = re.compile(r"([\w.%-]*|\[[\w:.%]*\])(:\d*)?")

# What other drivers write for sslmode.
_SSL: Final = {"true": "require", "on": "require", "1": "require", "false": "disable", "off": "disable", "0": "disable"}

# Options of libpq that tell the client, not the server, what to do, and that `PoolConfig` or the socket has its own
# settings for. The server would refuse a connection that names them.
_OURS: Final = frozenset(
    {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)


def normalize(dsn: str) -> str:
    """Bring the usual spellings of a DSN to the one the driver reads.

    ``postgres://``, ``postgresql+asyncpg://`` and ``?ssl=…`` become ``postgresql://`` and ``?sslmode=…``. User and
    password are percent-encoded where they are not. A + stands for itself, as libpq has it.

    Raises:
        ConfigurationError: it is not a PostgreSQL DSN, cannot be read, or asks for what the driver cannot do.
    """
    if dsn.startswith(EMBEDDED):
        return dsn
    if not _SCHEME.match(dsn):
        raise ConfigurationError(
            "the DSN must start with postgresql:// (or embedded: for a private server); check AGENTMEM_DSN"
        )
    parts = _split(_SCHEME.sub("postgresql://", dsn))
    who, at, hosts = parts.netloc.rpartition("@")
    user, colon, password = who.partition(":")
    netloc = f"{_encoded(user)}{colon}{_encoded(password)}{at}{hosts}"
    return urlunsplit(parts._replace(netloc=netloc, query=_joined(_for_the_driver(parts.query))))


def options(dsn: str) -> dict[str, str]:
    """Return what stands behind the question mark, decoded."""
    return dict(parse_qsl(urlsplit(dsn).query.replace("+", "%2B")))


def describe(dsn: str) -> str:
    """Return the part of a DSN that may be shown: host, port and database; never user or password."""
    parts = urlsplit(dsn)
    hosts = parts.netloc.rpartition("@")[2] or options(dsn).get("host", "the default host")
    return f"{hosts}{parts.path}"


def each_host(dsn: str) -> list[str]:
    """Return a normalized DSN once for each of its hosts, in their order."""
    parts = urlsplit(dsn)
    who, at, hosts = parts.netloc.rpartition("@")
    if hosts:
        return [urlunsplit(parts._replace(netloc=f"{who}{at}{host}")) for host in hosts.split(",")]
    given = options(dsn)
    names, ports = given.get("host", "").split(","), given.get("port", "").split(",")
    if len(names) == 1:
        return [dsn]
    if len(ports) not in {1, len(names)}:
        raise ConfigurationError("the DSN has several ports: give one for all hosts, or one for each")
    pairs = zip(names, ports * len(names) if len(ports) == 1 else ports, strict=True)
    return [_with(parts, {**given, "host": name, "port": port}) for name, port in pairs]


def _with(parts: SplitResult, given: dict[str, str]) -> str:
    said = {name: value for name, value in given.items() if value}
    return urlunsplit(parts._replace(query=_joined(said)))


def _joined(given: dict[str, str]) -> str:
    return urlencode(given, quote_via=quote, safe="/,")


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="")


def _split(dsn: str) -> SplitResult:
    """Take a DSN apart. One that is not percent-encoded would be taken apart in the middle of its password."""
    try:
        parts = urlsplit(dsn)
    except ValueError:  # a [ without its ]
        raise ConfigurationError(UNREADABLE) from None
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if (
        "@" in parts.path + parts.query
        or "/" in parts.path[1:]
        or parts.fragment
        or not all(map(_HOST.fullmatch, hosts))
    ):
        raise ConfigurationError(UNREADABLE)
    return parts


def _for_the_driver(query: str) -> dict[str, str]:
    """Return the options of a DSN as the driver names them, without those that it would send on to the server."""
    given = {"sslmode" if key == "ssl" else key: value for key, value in parse_qsl(query.replace("+", "%2B"))}
    if "sslmode" in given:
        given["sslmode"] = _SSL.get(given["sslmode"].lower(), given["sslmode"])
    if given.pop("channel_binding", "prefer") == "require":
        raise ConfigurationError(
            "the DSN asks for channel_binding=require, which the driver cannot do: take it out, and have the server "
            "proven by sslmode=verify-full"
        )
    if not all(port.isdecimal() for port in given.get("port", "0").split(",")):
        raise ConfigurationError(UNREADABLE)
    return {key: value for key, value in given.items() if key not in _OURS}
