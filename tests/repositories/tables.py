"""The tables whose create_many is the same, with content for their rows, so that a test can be of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.blocks import BlockChanges, NewBlock
from agentmem_store.models.tools import NewTool, ToolChanges
from agentmem_store.models.users import NewUser, UserChanges
from agentmem_store.repositories import agents, blocks, tools, users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@dataclass(frozen=True)
class Table:
    """A table, how one of its items is made, and every field of it, once in an old and once in a new form."""

    entity: str
    module: Any
    new: Any
    changes: Any
    old_content: dict[str, Any]
    new_content: dict[str, Any]

    def item(self, number: int, **fields: Any) -> Any:
        """An item whose name, or label, holds a number."""
        named = {"label" if self.entity == "block" else "name": f"{self.entity} {number}"}
        return self.new.model_validate(named | fields)

    def some(self, number: int, first: int = 0) -> list[Any]:
        return [self.item(i) for i in range(first, first + number)]

    def content(self, row: Any) -> dict[str, Any]:
        """What of a row or an item the caller chose."""
        chosen: dict[str, Any] = row.model_dump(include=set(self.new.model_fields))
        return chosen


def json_fields(value: int, *names: str) -> dict[str, Any]:
    return {name: {"k": [value, None, 1e16]} for name in names}


TABLES = [
    Table(
        "agent",
        agents,
        NewAgent,
        AgentChanges,
        {"name": "old", "message_ids": [uuid4()], "topic": "tea", "tool_rules": [1], **json_fields(1, "llm_config")},
        {
            "name": "new",
            "agent_type": "t",
            "description": "d",
            "system": "s",
            "topic": None,
            "message_ids": [uuid4(), uuid4()],
            "tool_rules": None,
            "mcp_tools": [{"a": 1}],
            **json_fields(2, "metadata", "llm_config", "embedding_config"),
        },
    ),
    Table(
        "user",
        users,
        NewUser,
        UserChanges,
        {"name": "old", "timezone": "Asia/Shanghai"},
        {"name": "new", "status": "inactive", "timezone": "UTC", **json_fields(2, "metadata")},
    ),
    Table(
        "tool",
        tools,
        NewTool,
        ToolChanges,
        {"name": "old", "tags": ["a"], "source_type": "python", **json_fields(1, "json_schema")},
        {
            "name": "new",
            "description": "d",
            "source_type": None,
            "source_code": "c",
            "tags": ["b", "a"],
            **json_fields(2, "metadata", "json_schema"),
        },
    ),
    Table(
        "block",
        blocks,
        NewBlock,
        BlockChanges,
        {"label": "old", "value": "old", "template_name": "t"},
        {
            "label": "new",
            "value": "喜欢茶",
            "limit": 3,
            "description": "d",
            "is_template": True,
            "template_name": None,
            **json_fields(2, "metadata"),
        },
    ),
]


async def stream(items: Sequence[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item
