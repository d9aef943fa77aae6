"""Rows are made of records without being validated: they are what validation would have made of them."""

from __future__ import annotations

import copy
import pickle
import typing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pydantic
import pytest

from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.base import JsonDict, JsonItems, JsonStrings, Row, constructor
from agentmem_store.models.blocks import Block
from agentmem_store.models.memories import Memory, NewMemory
from agentmem_store.models.messages import Message, NewMessage
from agentmem_store.models.organizations import Organization
from agentmem_store.models.tools import NewTool, Tool
from agentmem_store.models.users import User
from agentmem_store.repositories import agents, memories, messages, tools

if TYPE_CHECKING:
    from agentmem_store.scope import Scope

KINDS: list[type[Row]] = [Agent, Block, Memory, Message, Organization, Tool, User]
EXAMPLES: dict[Any, Any] = {
    UUID: uuid4(),
    str: "text",
    int: 7,
    float: 0.5,
    bool: True,
    datetime: datetime(2026, 1, 2, tzinfo=UTC),
    list[UUID]: [uuid4()],
    list[str]: ["a"],
    JsonDict: '{"a": [1, {"b": null}], "北": 0.1}',
    JsonItems: '[{"a": true}, "b"]',
    JsonStrings: '["a", "b"]',
}


def example(annotation: Any) -> Any:
    """A value as the driver gives it: JSON is text."""
    if annotation in EXAMPLES:
        return EXAMPLES[annotation]
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)[0]
    return example(next(part for part in typing.get_args(annotation) if part is not type(None)))


def columns(kind: type[Row], *, empty: bool) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        name: None if empty and type(None) in typing.get_args(hints[name]) else example(hints[name])
        for name in kind.model_fields
    }


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_what_validation_would_have_made(kind: type[Row], empty: bool) -> None:
    given = columns(kind, empty=empty)
    row = constructor(kind)(given)
    validated = kind.model_validate(given)
    assert row == validated
    assert row.model_dump() == validated.model_dump()
    assert row.model_dump_json() == validated.model_dump_json()
    assert row.model_fields_set == validated.model_fields_set
    assert repr(row) == repr(validated)


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_copied_and_sent_but_not_changed(kind: type[Row]) -> None:
    row, other = (constructor(kind)(columns(kind, empty=False)) for _ in range(2))
    assert copy.deepcopy(row) == pickle.loads(pickle.dumps(row)) == row.model_copy() == row
    assert row.model_copy(update={"version": 9}).version == 9
    with pytest.raises(pydantic.ValidationError):
        row.version = 9
    assert row == other


async def test_stored_rows_validate_to_themselves(scope: Scope) -> None:
    agent = await agents.create(scope, NewAgent(name="a", metadata={"n": [1, 2.5]}, tool_rules=[{"x": None}]))
    memory = await memories.create(scope, NewMemory(agent_id=agent.id, content="coffee", metadata={"deep": {"er": 1}}))
    tool = await tools.create(scope, NewTool(name="t", tags=["a", "b"], json_schema={"type": "object"}))
    parts: list[Any] = [{"type": "text", "text": "hello"}]
    (message,) = await messages.append(scope, agent.id, [NewMessage(role="user", text="hello", content=parts)])
    for row in (agent, memory, tool, message):
        assert type(row).model_validate(row.model_dump()) == row
