"""What a look at a database finds: named checks, the worst of which is the state of the whole."""

from __future__ import annotations

from typing import Any, Final, Literal

import pydantic

__all__ = [
    "Activity",
    "Blocked",
    "Capability",
    "Check",
    "Health",
    "Replication",
    "Room",
    "ServerFacts",
    "ServerState",
    "Status",
]

Status = Literal["ok", "warn", "fail"]
_WORST_FIRST: Final[tuple[Status, ...]] = ("fail", "warn")


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)


class Check(_Frozen):
    """One thing that was looked at.

    Attributes:
        name: which; the names are listed in docs/operations.md.
        status: ``ok``; ``warn``, it works and somebody should look; ``fail``, it does not work.
        message: what was found and, where it is not well, what to do.
        duration_ms: how long it took to look.
        facts: the numbers and words behind the message, of JSON's types.
    """

    name: str
    status: Status
    message: str
    duration_ms: float
    facts: dict[str, Any]


class Health(_Frozen):
    """What was looked at, in that order. Never a value of a row, a statement's text or a secret.

    Attributes:
        checks: each of them.
    """

    checks: tuple[Check, ...]

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def status(self) -> Status:
        """The worst status of all checks."""
        for status in _WORST_FIRST:
            if any(check.status == status for check in self.checks):
                return status
        return "ok"

    @property
    def ok(self) -> bool:
        """Whether nothing failed; warnings do not count."""
        return self.status != "fail"

    def __getitem__(self, name: str) -> Check:
        """Return the check of that name, or raise KeyError."""
        return {check.name: check for check in self.checks}[name]


class ServerState(_Frozen):
    """Whether a server takes writes.

    Attributes:
        in_recovery: whether it is a replica.
        read_only: whether transactions are read-only unless they say otherwise.
    """

    in_recovery: bool
    read_only: bool


class ServerFacts(_Frozen):
    """What a server and its database are.

    Attributes:
        version: such as 180004.
        version_name: such as 18.4.
        encoding: of the database, such as UTF8.
        ctype: its locale for letters, such as C.UTF-8.
        uptime_s: seconds since it started.
    """

    version: int
    version_name: str
    encoding: str
    ctype: str
    uptime_s: float


class Room(_Frozen):
    """How many connections a server has.

    Attributes:
        room: those for clients who are no superusers.
        connected: clients connected, to any of its databases.
    """

    room: int
    connected: int


class Capability(_Frozen):
    """An extension that something of this library can use.

    Attributes:
        name: such as vector.
        installed: its version in this database; None when it is not installed there.
        available: the version that the server could install; None when it has none.
    """

    name: str
    installed: str | None
    available: str | None


class Activity(_Frozen):
    """Transactions of this database that have been open for long.

    Attributes:
        long: how many.
        longest_s: seconds since the longest of them began; 0 when there is none.
        pid: its server process; None when there is none.
        application: its application_name.
    """

    long: int
    longest_s: float
    pid: int | None
    application: str | None


class Blocked(_Frozen):
    """Statements of this database that wait for a lock.

    Attributes:
        blocked: how many.
        longest_s: seconds that the longest of them has waited; 0 when there is none.
        pid: the server process that holds it up; None when there is none.
        application: its application_name.
    """

    blocked: int
    longest_s: float
    pid: int | None
    application: str | None


class Replication(_Frozen):
    """How far replicas are behind; asked of a replica, how far it is behind itself.

    Attributes:
        replicas: connected ones.
        lag_s: seconds of the slowest.
        lag_bytes: bytes of the slowest that are not yet replayed.
    """

    replicas: int
    lag_s: float
    lag_bytes: int
