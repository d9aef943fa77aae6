"""Organizations: the tenants."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field
from uuid_utils.compat import uuid7

from agentmem_store.inputs import Changes, Input, JsonObject, Name
from agentmem_store.models.base import JsonDict, Row

__all__ = ["NewOrganization", "Organization", "OrganizationChanges"]


class Organization(Row):
    """A tenant.

    Attributes:
        name: what people call it; not unique.
        language: how its texts are stemmed for search, such as english; copied to each searchable row.
        metadata: the application's own.
    """

    name: str
    language: str
    metadata: JsonDict


class NewOrganization(Input):
    """An organization to create. See `Organization`."""

    id: UUID = Field(default_factory=uuid7)
    name: Name
    language: Name = "english"
    metadata: JsonObject = Field(default_factory=dict[str, Any])


class OrganizationChanges(Changes):
    """Changes to an organization: what is set is written."""

    name: Name = ""
    metadata: JsonObject = Field(default_factory=dict[str, Any])
