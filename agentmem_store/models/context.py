"""What an agent needs for its next turn, assembled."""

from __future__ import annotations

from typing import Any

import pydantic
import pydantic_core

from agentmem_store.models.agents import Agent
from agentmem_store.models.blocks import Block
from agentmem_store.models.memories import MemoryHit, RankedMemory
from agentmem_store.models.messages import Message
from agentmem_store.models.tools import Tool

__all__ = ["AgentDetails", "Context", "ContextRow"]


class AgentDetails(pydantic.BaseModel):
    """An agent with what is linked to it.

    Attributes:
        agent: the agent.
        blocks: its blocks, by label.
        tools: its tools, by name.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    agent: Agent
    blocks: list[Block]
    tools: list[Tool]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_columns(cls, record: dict[str, Any]) -> dict[str, Any]:
        """Take the agent's own columns, and beside them lists as JSON text."""
        if "agent" in record:
            return record
        lists = {name: pydantic_core.from_json(record[name]) for name in cls.model_fields if name in record}
        return {"agent": record, **lists}


class ContextRow(AgentDetails):
    """The row of the statement that assembles a context."""

    messages: list[Message]
    memories: list[RankedMemory]

    def context(self) -> Context:
        """Return it as a caller sees it."""
        return Context(
            agent=self.agent,
            blocks=self.blocks,
            tools=self.tools,
            messages=self.messages,
            memories=[memory.hit() for memory in self.memories],
        )


class Context(pydantic.BaseModel):
    """All that an agent needs for its next turn.

    Attributes:
        agent: the agent.
        blocks: its blocks, by label.
        tools: its tools, by name.
        messages: the newest messages that fit the budget, oldest first.
        memories: what a search found, best first.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    agent: Agent
    blocks: list[Block]
    tools: list[Tool]
    messages: list[Message]
    memories: list[MemoryHit]
