"""Agents."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field
from uuid_utils.compat import uuid7

from agentmem_store.inputs import Changes, Input, JsonList, JsonObject, Name, ShortName, Text
from agentmem_store.models.base import JsonDict, JsonItems, Row

__all__ = ["Agent", "AgentChanges", "NewAgent"]


class Agent(Row):
    """An agent.

    Attributes:
        name: what people call it; not unique.
        agent_type: the application's kind of agent.
        description: what it is for.
        system: its system prompt.
        topic: what it is talking about.
        message_ids: its in-context messages, in order.
        metadata: the application's own.
        llm_config: the model it runs on.
        embedding_config: the model that embeds for it.
        tool_rules: in which order tools may be called.
        mcp_tools: tools it reaches over MCP.
    """

    name: str | None
    agent_type: str | None
    description: str | None
    system: str | None
    topic: str | None
    message_ids: list[UUID]
    metadata: JsonDict
    llm_config: JsonDict | None
    embedding_config: JsonDict | None
    tool_rules: JsonItems | None
    mcp_tools: JsonItems | None


class NewAgent(Input):
    """An agent to create. See `Agent`."""

    id: UUID = Field(default_factory=uuid7)
    name: Name | None = None
    agent_type: ShortName | None = None
    description: Text | None = None
    system: Text | None = None
    topic: Text | None = None
    message_ids: list[UUID] = Field(default_factory=list[UUID])
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    llm_config: JsonObject | None = None
    embedding_config: JsonObject | None = None
    tool_rules: JsonList | None = None
    mcp_tools: JsonList | None = None


class AgentChanges(Changes):
    """Changes to an agent: what is set is written, None as NULL. The in-context list has functions of its own."""

    name: Name | None = None
    agent_type: ShortName | None = None
    description: Text | None = None
    system: Text | None = None
    topic: Text | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    llm_config: JsonObject | None = None
    embedding_config: JsonObject | None = None
    tool_rules: JsonList | None = None
    mcp_tools: JsonList | None = None
