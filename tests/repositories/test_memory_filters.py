from __future__ import annotations

import math
from typing import Any

import pytest

from agentmem_store import errors
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import MetadataFilter, NewMemory
from agentmem_store.repositories import agents, memories
from agentmem_store.scope import Scope

METADATA: dict[str, dict[str, Any]] = {
    "nine": {"n": 9, "tags": ["x", "y"], "day": "2024-01-09"},
    "ten": {"n": 10, "tags": ["y"], "day": "2024-01-10", "deep": {"a": {"b": 1}}},
    "text": {"n": "10", "flag": True},
    "null": {"n": None, "flag": 1},
    "none": {},
}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (MetadataFilter(), "nine ten text null none"),
        (MetadataFilter(contains={"tags": ["y"]}), "nine ten"),
        (MetadataFilter(contains={"deep": {"a": {"b": 1.0}}}), "ten"),
        (MetadataFilter(exists=["flag"]), "text null"),
        (MetadataFilter(exists=["n", "tags"]), "nine ten"),
        (MetadataFilter(any_of={"n": [9.0, "10"]}), "nine text"),
        (MetadataFilter(any_of={"n": [None]}), "null"),
        (MetadataFilter(any_of={"flag": [True]}), "text"),
        (MetadataFilter(any_of={"tags": [["y"], ["x"]]}), "ten"),
        (MetadataFilter(any_of={"n": []}), ""),
        (MetadataFilter(ranges={"n": (9.5, None)}), "ten"),
        (MetadataFilter(ranges={"n": (9, 10)}), "nine ten"),
        (MetadataFilter(ranges={"n": (None, 9)}), "nine"),
        (MetadataFilter(ranges={"n": ("1", "2")}), "text"),
        (MetadataFilter(ranges={"day": ("2024-01-10", None)}), "ten"),
        (MetadataFilter(ranges={"n": (None, 10), "day": ("2024", "2024-01-09")}), "nine"),
        (MetadataFilter(contains={"tags": ["y"]}, exists=["deep"], any_of={"n": [10]}, ranges={"n": (1, 11)}), "ten"),
        (MetadataFilter(exists=["'; --", "$1", "{}"]), ""),
    ],
)
async def test_metadata_filters(scope: Scope, asked: MetadataFilter, expected: str) -> None:
    agent = await agents.create(scope, NewAgent())
    await memories.create_many(
        scope,
        [NewMemory(content=f"{name} coffee", agent_id=agent.id, metadata=m) for name, m in METADATA.items()],
    )
    wanted = {f"{name} coffee" for name in expected.split()}
    for agent_id in (None, agent.id):
        page = await memories.list(scope, metadata=asked, agent_id=agent_id)
        assert {row.content for row in page.items} == wanted
    assert {hit.memory.content for hit in await memories.search(scope, "coffee", metadata=asked)} == wanted


@pytest.mark.parametrize(
    "wrong",
    [
        {"any_of": {"secret-key": "x"}},
        {"ranges": {"secret-key": (None, None)}},
        {"ranges": {"secret-key": (1, "2")}},
        {"ranges": {"secret-key": (1,)}},
        {"ranges": {"secret-key": (True, 2)}},
        {"ranges": {"secret-key": (math.nan, 2)}},
        {"contains": {"secret-key": math.inf}},
        {"exists": ["secret-key\x00"]},
        {"unknown": {}},
    ],
)
def test_a_metadata_filter_that_cannot_be_is_refused_without_its_values(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.ValidationError) as caught:
        MetadataFilter(**wrong)
    assert "secret" not in str(caught.value)
