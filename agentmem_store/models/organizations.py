"""Organizations: the tenants."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field
from uuid_utils.compat import uuid7

from agentmem_store.inputs import Changes, Input, JsonObject, Name
from agentmem_store.models.base import JsonDict, Row

__all__ = ["LANGUAGE_LENGTH", "NewOrganization", "Organization", "OrganizationChanges"]

LANGUAGE_LENGTH: Final = 63  # of PostgreSQL's own names


class Organization(Row):
    """A tenant.

    Attributes:
        name: what people call it; not unique.
        language: how its texts are stemmed for search, such as english; copied to each searchable row. It is changed
            by `search.set_language`.
        metadata: the application's own.
    """

    name: str
    language: str
    metadata: JsonDict


class NewOrganization(Input):
    """An organization to create. See `Organization`."""

    id: UUID = Field(default_factory=uuid7)
    name: Name
    language: Annotated[Name, Field(max_length=LANGUAGE_LENGTH)] = "english"
    metadata: JsonObject = Field(default_factory=dict[str, Any])


class OrganizationChanges(Changes):
    """Changes to an organization: what is set is written."""

    name: Name = ""
    metadata: JsonObject = Field(default_factory=dict[str, Any])
