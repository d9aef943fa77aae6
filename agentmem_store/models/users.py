"""Users."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from uuid_utils.compat import uuid7

from agentmem_store.inputs import Changes, Input, JsonObject, Name
from agentmem_store.models.base import JsonDict, Row

__all__ = ["NewUser", "Status", "User", "UserChanges"]

Status = Literal["active", "inactive"]


@cache
def _zones() -> frozenset[str]:
    """Return the names of the zone database. Two files in it are no zones: one means another zone on each machine."""
    from zoneinfo import available_timezones

    return frozenset(available_timezones() - {"localtime", "Factory"})


def _check_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(
            "is not in this machine's IANA zone database: use a name such as Europe/Berlin, or install tzdata"
        )
    return name


Zone = Annotated[str, AfterValidator(_check_zone)]


class User(Row):
    """A person or program that talks to agents.

    Attributes:
        name: what people call them; not unique.
        status: active or inactive; for the application, nothing here depends on it.
        timezone: where they live, by its name in the IANA zone database, such as Europe/Berlin.
        metadata: the application's own.
    """

    name: str
    status: Status
    timezone: str
    metadata: JsonDict


class NewUser(Input):
    """A user to create. See `User`."""

    id: UUID = Field(default_factory=uuid7)
    name: Name
    status: Status = "active"
    timezone: Zone = "UTC"
    metadata: JsonObject = Field(default_factory=dict[str, Any])


class UserChanges(Changes):
    """Changes to a user: what is set is written."""

    name: Name = ""
    status: Status = "active"
    timezone: Zone = "UTC"
    metadata: JsonObject = Field(default_factory=dict[str, Any])
