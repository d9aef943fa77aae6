"""Tools."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field
from uuid_utils.compat import uuid7

from agentmem_store.inputs import Changes, Input, JsonObject, Name, ShortName, Text
from agentmem_store.models.base import JsonDict, JsonStrings, Row

__all__ = ["NewTool", "Tool", "ToolChanges"]


class Tool(Row):
    """What an agent may call.

    Attributes:
        name: unique among the living tools of the organization.
        description: what it does.
        json_schema: its parameters, as JSON Schema.
        source_type: where it comes from, such as python or mcp.
        source_code: what it runs.
        tags: for finding it; see `tools.by_tags`.
        metadata: the application's own.
    """

    name: str
    description: str | None
    json_schema: JsonDict | None
    source_type: str | None
    source_code: str | None
    tags: JsonStrings
    metadata: JsonDict


class NewTool(Input):
    """A tool to create. See `Tool`."""

    id: UUID = Field(default_factory=uuid7)
    name: Name
    description: Text | None = None
    json_schema: JsonObject | None = None
    source_type: ShortName | None = None
    source_code: Text | None = None
    tags: list[Name] = Field(default_factory=list[str])
    metadata: JsonObject = Field(default_factory=dict[str, Any])


class ToolChanges(Changes):
    """Changes to a tool: what is set is written, None as NULL."""

    name: Name = ""
    description: Text | None = None
    json_schema: JsonObject | None = None
    source_type: ShortName | None = None
    source_code: Text | None = None
    tags: list[Name] = Field(default_factory=list[str])
    metadata: JsonObject = Field(default_factory=dict[str, Any])
