from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from agentmem_store import errors
from agentmem_store.models.agents import Agent, AgentChanges, NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, organizations
from agentmem_store.repositories.changing import Edit
from agentmem_store.scope import Root, Scope


def named(*names: str) -> list[NewAgent]:
    return [NewAgent(name=name) for name in names]


async def all_pages(scope: Scope, limit: int, name: str | None = None) -> list[list[Agent]]:
    page = await agents.list(scope, name=name, limit=limit)
    pages = [page.items]
    while page.next:
        page = await agents.list(scope, name=name, limit=limit, cursor=page.next)
        pages.append(page.items)
    return pages


async def test_agent_crud(scope: Scope) -> None:
    new = NewAgent(
        name="planner",
        agent_type="chat",
        description="Pläne, 计划",
        system="You plan.",
        topic="trips",
        message_ids=[uuid4(), uuid4()],
        metadata={"k": {"deep": [1, None, "ü"]}},
        llm_config={"model": "m"},
        embedding_config={"dim": 384},
        tool_rules=[{"first": "search"}],
        mcp_tools=["files"],
    )
    created = await agents.create(scope, new)

    assert created.model_dump(include=set(NewAgent.model_fields)) == new.model_dump()
    assert (created.version, created.is_deleted, created.updated_at) == (1, False, created.created_at)
    assert await agents.get(scope, new.id) == created
    assert await agents.count(scope) == 1

    deleted = await agents.delete(scope, new.id)
    assert (deleted.is_deleted, deleted.version) == (True, 2)
    assert await agents.find(scope, new.id) is None
    with pytest.raises(errors.NotFound, match="no such agent"):
        await agents.get(scope, new.id)
    assert await agents.count(scope) == 0

    restored = await agents.restore(scope, new.id)
    assert (restored.is_deleted, restored.deleted_at, restored.name) == (False, None, "planner")
    await agents.hard_delete(scope, new.id)
    with pytest.raises(errors.NotFound):
        await agents.restore(scope, new.id)


async def test_update_writes_what_is_set_and_none_as_null(scope: Scope) -> None:
    new = NewAgent(name="a", topic="t", system="s", metadata={"k": 1}, llm_config={"model": "m"}, tool_rules=[1])
    created = await agents.create(scope, new)

    changed = await agents.update(scope, new.id, AgentChanges(name=None, llm_config=None, tool_rules=[], metadata={}))

    assert (changed.name, changed.llm_config, changed.tool_rules, changed.metadata) == (None, None, [], {})
    assert (changed.topic, changed.system, changed.version) == ("t", "s", 2)
    unchanged = {"id", "created_at", "created_by_id", "message_ids", "agent_type", "description"}
    assert changed.model_dump(include=unchanged) == created.model_dump(include=unchanged)


async def test_update_at_another_version_shows_the_current_row(scope: Scope) -> None:
    agent = await agents.create(scope, NewAgent(name="a"))
    now = await agents.update(scope, agent.id, AgentChanges(name="b"), expected_version=1)
    with pytest.raises(errors.Conflict, match="at version 2, not 1") as caught:
        await agents.update(scope, agent.id, AgentChanges(name="c"), expected_version=1)
    assert caught.value.current == now
    assert await agents.get(scope, agent.id) == now


async def test_who_acts_is_written_down(scope: Scope, root: Root) -> None:
    creator, editor, remover = uuid4(), uuid4(), uuid4()

    def by(actor: UUID) -> Scope:
        return root.tenant(scope.organization_id, actor_id=actor)

    agent = await agents.create(by(creator), NewAgent(name="a"))
    assert (agent.created_by_id, agent.last_updated_by_id) == (creator, creator)
    agent = await agents.update(by(editor), agent.id, AgentChanges(topic="t"))
    assert (agent.created_by_id, agent.last_updated_by_id) == (creator, editor)
    assert (await agents.delete(by(remover), agent.id)).deleted_by_id == remover
    agent = await agents.restore(by(editor), agent.id)
    assert (agent.deleted_by_id, agent.last_updated_by_id) == (None, editor)


async def test_sent_again_returns_the_stored_rows(scope: Scope) -> None:
    one, two, three = named("one", "two", "three")
    first = await agents.create_many(scope, [one, two])
    assert await agents.create(scope, one) == first[0]
    again = await agents.create_many(scope, [two, three, one])
    assert [again[0], again[2]] == [first[1], first[0]]
    assert await agents.count(scope) == 3


async def test_sent_again_after_a_change_returns_the_row_as_it_stands(scope: Scope) -> None:
    new = NewAgent(name="a")
    await agents.create(scope, new)
    changed = await agents.update(scope, new.id, AgentChanges(name="b"))
    assert await agents.create(scope, new) == changed
    deleted = await agents.delete(scope, new.id)
    assert await agents.create(scope, new) == deleted


async def test_other_content_under_a_stored_id_refuses_the_whole_batch(scope: Scope) -> None:
    stored = await agents.create(scope, NewAgent(name="a"))
    same_id = NewAgent(id=stored.id, name="not a")
    with pytest.raises(errors.Conflict, match=r"^this agent is stored with other content") as caught:
        await agents.create(scope, same_id)
    assert caught.value.current == stored
    with pytest.raises(errors.Conflict, match="item 1: this agent is stored with other content"):
        await agents.create_many(scope, [*named("b"), same_id, *named("c")])
    assert [agent.name for agent in (await agents.list(scope)).items] == ["a"]


async def test_an_id_given_twice_is_refused(scope: Scope) -> None:
    (one,) = named("one")
    with pytest.raises(errors.ValidationError, match="item 1: id"):
        await agents.create_many(scope, [one, one])
    agent = await agents.create(scope, one)
    with pytest.raises(errors.ValidationError, match="item 1: id"):
        await agents.update_many(scope, [Edit(agent.id, AgentChanges(name="x"))] * 2)
    assert await agents.get(scope, agent.id) == agent


async def test_create_in_an_organization_that_is_gone(scope: Scope, root: Root) -> None:
    with pytest.raises(errors.NotFound, match=r"^no such organization"):
        await agents.create(root.tenant(uuid4()), NewAgent(name="a"))
    with pytest.raises(errors.NotFound, match="item 0: no such organization"):
        await agents.create_many(root.tenant(uuid4()), named("a", "b"))
    stored = await agents.create(scope, NewAgent(name="a"))
    await organizations.delete(root, scope.organization_id)
    with pytest.raises(errors.NotFound, match="no such organization"):
        await agents.create(scope, NewAgent(name="b"))
    assert await agents.find(scope, stored.id) is None
    assert ((await agents.list(scope)).items, await agents.count(scope)) == ([], 0)
    assert await agents.find_by_name(scope, "a") is None


async def test_batches_keep_their_order_and_change_all_or_nothing(scope: Scope) -> None:
    made = await agents.create_many(scope, named(*"abcdef"))
    assert [agent.name for agent in made] == [*"abcdef"]
    assert await agents.create_many(scope, []) == []

    turned = [Edit(agent.id, AgentChanges(topic=agent.name), 1) for agent in reversed(made)]
    assert [agent.topic for agent in await agents.update_many(scope, turned)] == [*"fedcba"]
    assert await agents.update_many(scope, []) == []

    with pytest.raises(errors.Conflict, match="item 1: this agent is at version 2, not 1"):
        await agents.update_many(scope, [Edit(made[0].id, AgentChanges(topic="x")), turned[0]])
    with pytest.raises(errors.NotFound, match="item 1: no such agent"):
        await agents.update_many(scope, [Edit(made[0].id, AgentChanges(topic="x")), Edit(uuid4(), AgentChanges())])
    assert (await agents.get(scope, made[0].id)).topic == "a"


async def test_many_deleted_restored_and_removed_pass_over_what_is_not_there(scope: Scope) -> None:
    a, b, c = [agent.id for agent in await agents.create_many(scope, named(*"abc"))]
    assert await agents.delete_many(scope, [a, b, uuid4()]) == 2
    assert await agents.delete_many(scope, [a, b, c]) == 1
    assert await agents.restore_many(scope, [b, c, uuid4()]) == 2
    assert {agent.id for agent in (await agents.list(scope)).items} == {b, c}
    assert await agents.hard_delete_many(scope, [a, b, uuid4()]) == 2
    assert [agent.id for agent in (await agents.list(scope)).items] == [c]
    for verb in (agents.delete_many, agents.restore_many, agents.hard_delete_many):
        assert await verb(scope, []) == 0
        with pytest.raises(errors.ValidationError, match="item 1: agent_id"):
            await verb(scope, [c, "not one"])  # type: ignore[list-item]


async def test_restore_of_a_living_agent_changes_nothing(scope: Scope) -> None:
    agent = await agents.create(scope, NewAgent(name="a"))
    assert await agents.restore(scope, agent.id) == agent


async def test_list_pages_over_equal_times(scope: Scope) -> None:
    """Rows of one transaction have one created_at; each still appears exactly once, newest id first."""
    made = await agents.create_many(scope, named(*(["same"] * 5 + ["another"] * 2)))
    assert len({agent.created_at for agent in made}) == 1
    expected = sorted((agent.id for agent in made), reverse=True)
    for limit in (1, 2, 3, 7, 8):
        pages = await all_pages(scope, limit)
        assert [agent.id for page in pages for agent in page] == expected
        assert all(len(page) == limit for page in pages[:-1])
        assert pages[-1], "no empty page at the end"
    same = [agent.id for page in await all_pages(scope, 2, name="same") for agent in page]
    assert same == sorted((agent.id for agent in made if agent.name == "same"), reverse=True)


async def test_a_page_misses_nothing_while_rows_come_and_go(scope: Scope) -> None:
    made = await agents.create_many(scope, named(*"abcdef"))
    first = await agents.list(scope, limit=2)
    await agents.delete(scope, first.items[-1].id)
    rest = await agents.list(scope, limit=10, cursor=first.next)
    assert {agent.id for agent in (*first.items, *rest.items)} == {agent.id for agent in made}


async def test_a_foreign_cursor_or_a_bad_limit_is_refused(scope: Scope, other: Scope) -> None:
    await agents.create_many(scope, named("a", "a", "b"))
    cursor = (await agents.list(scope, limit=1)).next
    by_name = (await agents.list(scope, name="a", limit=1)).next
    for call in (
        agents.list(other, cursor=cursor),
        agents.list(scope, name="a", cursor=cursor),
        agents.list(scope, cursor=by_name),
        agents.list(scope, name="b", cursor=by_name),
        agents.list(scope, cursor="nonsense"),
    ):
        with pytest.raises(errors.ValidationError, match="cursor"):
            await call
    for limit in (0, -1, 1001, True, "5"):
        with pytest.raises(errors.ValidationError, match="limit"):
            await agents.list(scope, limit=limit)  # type: ignore[arg-type]


async def test_find_by_name_is_the_oldest_living_match(tenant: Scope) -> None:
    first, second, third = [await agents.create(tenant, NewAgent(name="twin")) for _ in range(3)]
    assert first.created_at < second.created_at < third.created_at
    await agents.create(tenant, NewAgent(name="Twin"))
    await agents.update(tenant, first.id, AgentChanges(topic="changed last"))

    assert await agents.find_by_name(tenant, "twin") == await agents.get(tenant, first.id)
    await agents.delete(tenant, first.id)
    assert await agents.find_by_name(tenant, "twin") == second
    await agents.restore(tenant, first.id)
    assert (await agents.find_by_name(tenant, "twin") or third).id == first.id
    assert await agents.find_by_name(tenant, "nobody") is None
    with pytest.raises(errors.ValidationError, match="name"):
        await agents.find_by_name(tenant, "a\0b")


async def test_find_by_name_of_equal_age_is_the_smallest_id(scope: Scope) -> None:
    made = await agents.create_many(scope, named("twin", "twin", "twin"))
    assert await agents.find_by_name(scope, "twin") == min(made, key=lambda agent: agent.id)


async def test_an_agent_of_another_tenant_is_not_there(scope: Scope, other: Scope) -> None:
    agent = await agents.create(scope, NewAgent(name="a"))

    assert await agents.find(other, agent.id) is None
    assert await agents.find_by_name(other, "a") is None
    assert ((await agents.list(other)).items, await agents.count(other)) == ([], 0)
    for call in (
        agents.get(other, agent.id),
        agents.update(other, agent.id, AgentChanges(name="x")),
        agents.update_many(other, [Edit(agent.id, AgentChanges(name="x"))]),
        agents.delete(other, agent.id),
        agents.restore(other, agent.id),
        agents.hard_delete(other, agent.id),
    ):
        with pytest.raises(errors.NotFound):
            await call
    for verb in (agents.delete_many, agents.restore_many, agents.hard_delete_many):
        assert await verb(other, [agent.id]) == 0
    assert await agents.get(scope, agent.id) == agent


async def test_the_same_id_lives_in_two_tenants(scope: Scope, other: Scope) -> None:
    new = NewAgent(name="a")
    await agents.create(scope, new)
    theirs = await agents.create(other, NewAgent(id=new.id, name="b"))
    await agents.hard_delete(scope, new.id)
    assert await agents.get(other, new.id) == theirs


async def test_the_same_agent_sent_by_eight_at_once_is_stored_once(tenant: Scope) -> None:
    new = NewAgent(name="a")
    rows = await asyncio.gather(*(agents.create(tenant, new) for _ in range(8)))
    assert all(row == rows[0] for row in rows)
    assert await agents.count(tenant) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"agent_type": "x" * 101}, "agent_type"),
        ({"metadata": {"n": float("nan")}}, "metadata"),
        ({"metadata": []}, "metadata"),
        ({"tool_rules": {}}, "tool_rules"),
        ({"message_ids": ["x"]}, "message_ids.0"),
        ({"unknown": 1}, "unknown"),
    ],
    ids=str,
)
def test_bad_input_names_the_field(fields: dict[str, object], field: str) -> None:
    with pytest.raises(errors.ValidationError) as caught:
        NewAgent.model_validate(fields)
    assert [problem.field for problem in caught.value.problems] == [field]


async def test_agents_of_an_organization_go_with_it(root: Root) -> None:
    organization = await organizations.create(root, NewOrganization(name="short-lived"))
    scope = root.tenant(organization.id)
    agent = await agents.create(scope, NewAgent(name="a"))
    await organizations.delete(root, organization.id)
    assert await agents.find(scope, agent.id) is None
    await organizations.restore(root, organization.id)
    assert await agents.get(scope, agent.id) == agent
    await organizations.hard_delete(root, organization.id)
    assert await agents.find(scope, agent.id) is None
