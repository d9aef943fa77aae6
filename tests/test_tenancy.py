"""Every public function of every tenant table, called with another tenant's ids: finds nothing, changes nothing."""

from __future__ import annotations

import contextlib
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from agentmem_store import context, errors, search
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.blocks import BlockChanges, NewBlock
from agentmem_store.models.memories import MemoryChanges, MetadataFilter, NewMemory
from agentmem_store.models.messages import MessageChanges, NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.models.tools import NewTool, ToolChanges
from agentmem_store.models.users import NewUser, UserChanges
from agentmem_store.page import Page
from agentmem_store.repositories import agents, blocks, memories, messages, organizations, tools, users
from agentmem_store.repositories.changing import Edit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import asyncpg

    from agentmem_store.scope import Root, Scope

# Module, name, function, and whether it gets all filters that it knows.
Call: TypeAlias = "tuple[str, str, Callable[..., Any], bool]"

SECRET = "Kaffeegeheimnis"
MODULES = {
    "users": users,
    "agents": agents,
    "messages": messages,
    "blocks": blocks,
    "tools": tools,
    "memories": memories,
    "context": context,
    "search": search,
}
CHANGES: dict[str, Any] = {
    "users": UserChanges(name="taken over"),
    "agents": AgentChanges(name="taken over"),
    "messages": MessageChanges(text="taken over"),
    "blocks": BlockChanges(value="taken over"),
    "tools": ToolChanges(description="taken over"),
    "memories": MemoryChanges(content="taken over"),
}


@dataclass
class Victim:
    """A tenant with one row of each kind, all of which carry the secret."""

    scope: Scope
    ids: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
async def victim(scope: Scope) -> Victim:
    user = await users.create(scope, NewUser(name=SECRET))
    agent = await agents.create(scope, NewAgent(name=SECRET, metadata={"k": SECRET}))
    said = NewMessage(role="user", text=SECRET, user_id=user.id, group_id="group", step_id="step")
    message = (await messages.append(scope, agent.id, [said]))[0]
    block = await blocks.create(scope, NewBlock(label="label", value=SECRET, user_id=user.id))
    tool = await tools.create(scope, NewTool(name=SECRET, tags=["tag"]))
    memory = await memories.create(scope, NewMemory(content=SECRET, agent_id=agent.id, user_id=user.id))
    await blocks.attach(scope, block.id, agent.id)
    await tools.attach(scope, tool.id, agent.id)
    await memories.touch(scope, [memory.id])
    rows = {"user": user, "agent": agent, "message": message, "block": block, "tool": tool, "memory": memory}
    return Victim(scope, {name: row.id for name, row in rows.items()})


def arguments(module: str, name: str, victim: Victim) -> dict[str, Any]:
    """What each parameter of that name is given: the victim's ids, and what would change or show its rows."""
    ids = victim.ids
    own = {"memories": "memory"}.get(module, module[:-1])
    mine = ids.get(own)
    parents = {"agent_id": ids["agent"], "user_id": ids["user"]}
    new: dict[str, Any] = {
        "users": NewUser(name="new"),
        "agents": NewAgent(name="new"),
        "messages": NewMessage(role="user", text="new", user_id=ids["user"]),
        "blocks": NewBlock(label="new", user_id=ids["user"]),
        "tools": NewTool(name="new"),
        "memories": NewMemory(content="new", **parents),
    }
    given: dict[str, Any] = {f"{kind}_id": row_id for kind, row_id in ids.items()}
    given |= {f"{kind}_ids": [row_id] for kind, row_id in ids.items()}
    given |= {
        "ids": [mine],
        "new": [new.get(module)] if name.endswith("many") or name == "append" else new.get(module),
        "changes": CHANGES.get(module),
        "edits": [Edit(mine or ids["agent"], CHANGES.get(module, AgentChanges()))],
        "name": SECRET,
        "query": SECRET,
        "text": SECRET,
        "old": SECRET,
        "tags": ["tag"],
        "step_id": "step",
        "group_id": "group",
        "label": "label",
        "seq": 0,
        "keep": 0,
        "token_budget": 1000,
        "metadata": MetadataFilter(),
        "language": "german",
    }
    if name in {"append", "replace"} and module == "blocks":
        given["new"] = "new"
    return given


def calls(modules: Mapping[str, Any] = MODULES) -> list[Any]:
    """Each public function of a tenant once with what it must be given, and once with every filter it knows."""
    found = []
    for module_name, module in modules.items():
        for name in module.__all__:
            function = getattr(module, name)
            if not inspect.iscoroutinefunction(function) or "scope" not in inspect.signature(function).parameters:
                continue
            found += [
                pytest.param((module_name, name, function, filtered), id=f"{module_name}.{name}{'-all' * filtered}")
                for filtered in (False, True)
            ]
    return found


def bound(call: Call, victim: Victim, more: Mapping[str, Any]) -> dict[str, Any]:
    module, name, function, filtered = call
    given = {**arguments(module, name, victim), **more}
    parameters = list(inspect.signature(function).parameters.values())[1:]
    required = {p.name for p in parameters if p.default is inspect.Parameter.empty}
    missing = required - set(given)
    assert not missing, f"{module}.{name} takes {missing}, which this test does not know: tell it what to give"
    wanted = set(given) if filtered else required | set(more)
    return {p.name: given[p.name] for p in parameters if p.name in wanted}


async def everything_of(connection: asyncpg.Connection[Any], scope: Scope) -> list[Any]:
    """Every row of every tenant table of an organization, as text."""
    tables = await connection.fetch("""
        SELECT c.table_name
        FROM information_schema.columns AS c
        WHERE c.table_schema = 'agentmem' AND c.column_name = 'organization_id'
        ORDER BY c.table_name
    """)
    found: list[Any] = []
    for (table,) in tables:
        statement = f"SELECT t::text FROM agentmem.{table} AS t WHERE t.organization_id = $1 ORDER BY t::text"
        found += await connection.fetch(statement, scope.organization_id)
    return found


def is_nothing(result: Any) -> bool:
    if isinstance(result, Page):
        return not result.items
    if isinstance(result, tuple):  # a report
        return not any(result)
    return result in (None, 0, [], False)


# What makes a row of one's own where the parameter has no parent in it, and so may return one.
MAKES_ITS_OWN = {
    "users.create",
    "users.create_many",
    "agents.create",
    "agents.create_many",
    "tools.create",
    "tools.create_many",
    "tools.upsert",
    "tools.upsert_many",
}


async def attempt(other: Scope, victim: Victim, connection: asyncpg.Connection[Any], call: Call, **more: Any) -> None:
    """Call a function as another tenant with the victim's ids, and with what else it is given."""
    module, name, function, _ = call
    before = await everything_of(connection, victim.scope)
    try:
        async with other.transaction() as tx:
            result = await function(tx, **bound(call, victim, more))
    except errors.NotFound:
        result = None
    assert SECRET not in repr(result)
    assert is_nothing(result) or f"{module}.{name}" in MAKES_ITS_OWN
    assert await everything_of(connection, victim.scope) == before


async def working(victim: Victim, cases: list[Any], **more: Any) -> float:
    """Of how many calls, each undone, the tenant itself gets something: 0 to 1."""
    found = 0
    for case in cases:
        [call] = case.values
        with pytest.raises(RollBack):
            async with victim.scope.transaction() as tx:
                with contextlib.suppress(errors.AgentMemError):
                    found += not is_nothing(await call[2](tx, **bound(call, victim, more)))
                raise RollBack
    return found / len(cases)


@pytest.mark.parametrize("call", calls())
async def test_a_foreign_tenant_finds_nothing_and_changes_nothing(
    victim: Victim, other: Scope, connection: asyncpg.Connection[Any], call: Call
) -> None:
    await attempt(other, victim, connection, call)


async def test_the_same_calls_do_work_for_the_tenant_itself(victim: Victim) -> None:
    """Else the test above would pass on functions that never find anything."""
    assert await working(victim, calls()) > 0.7


class RollBack(Exception):
    pass


async def test_an_id_may_be_used_by_two_tenants(victim: Victim, other: Scope) -> None:
    mine = await agents.create(other, NewAgent(id=victim.ids["agent"], name="mine"))
    assert (await agents.get(other, mine.id)).name == "mine"
    assert (await agents.get(victim.scope, mine.id)).name == SECRET


async def test_a_deleted_organization_hides_all_that_it_holds(victim: Victim, root: Root) -> None:
    await organizations.delete(root, victim.scope.organization_id)
    for kind, module in (("agent", agents), ("user", users), ("message", messages), ("memory", memories)):
        assert await module.find(victim.scope, victim.ids[kind]) is None
    await organizations.restore(root, victim.scope.organization_id)
    assert (await messages.get(victim.scope, victim.ids["message"])).text == SECRET


async def test_a_tenant_that_does_not_exist_has_nothing(root: Root) -> None:
    nobody = root.tenant(NewOrganization(name="never stored").id)
    assert await agents.count(nobody) == 0
    with pytest.raises(errors.NotFound, match="organization"):
        await agents.create(nobody, NewAgent(name="x"))
