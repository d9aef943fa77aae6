"""The store against a plain Python model of it, over random sequences of calls."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from agentmem_store import connect, errors
from agentmem_store.executor import ConnectionExecutor
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import MessageChanges, NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, memories, messages, organizations
from agentmem_store.scope import Root
from agentmem_store.telemetry import Observer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from agentmem_store.scope import Scope

RUNS = 1000 if os.environ.get("CI") else 60
INDEX = st.integers(0, 999)
TEXTS = st.lists(st.text("abcü北", max_size=4), min_size=1, max_size=3)


@dataclass
class Said:
    new: NewMessage
    seq: int
    text: str
    changed: bool = False
    deleted: bool = False


@dataclass
class Kept:
    new: NewMemory
    deleted: bool = False


@dataclass
class Known:
    """What an agent should hold."""

    deleted: bool = False
    last_seq: int = 0
    messages: list[Said] = field(default_factory=list)
    memories: list[Kept] = field(default_factory=list)

    def visible(self) -> list[Said]:
        return [] if self.deleted else [said for said in self.messages if not said.deleted]


class Store(RuleBasedStateMachine):
    """Each run works in a transaction of its own, which is rolled back."""

    runner: asyncio.Runner
    root: Root
    connection: Any

    def __init__(self) -> None:
        super().__init__()
        self.transaction = self.connection.transaction()
        self.wait(self.transaction.start())
        organization = self.wait(organizations.create(self.root, NewOrganization(name="model")))
        self.scope: Scope = self.root.tenant(organization.id)
        self.known: dict[UUID, Known] = {}

    def teardown(self) -> None:
        self.wait(self.transaction.rollback())

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await awaitable

        return self.runner.run(run())

    def agent(self, index: int) -> tuple[UUID, Known]:
        return list(self.known.items())[index % len(self.known)]

    def message(self, index: int) -> Said | None:
        everything = [said for known in self.known.values() if not known.deleted for said in known.messages]
        return everything[index % len(everything)] if everything else None

    def refuses(self, awaitable: Awaitable[Any]) -> None:
        try:
            self.wait(awaitable)
        except errors.NotFound:
            return
        raise AssertionError("this should not have been found")

    @rule()
    def create_agent(self) -> None:
        self.known[self.wait(agents.create(self.scope, NewAgent())).id] = Known()

    @precondition(lambda self: self.known)
    @rule(index=INDEX, texts=TEXTS)
    def append(self, index: int, texts: list[str]) -> None:
        agent_id, known = self.agent(index)
        new = [NewMessage(role="user", text=text) for text in texts]
        if known.deleted:
            self.refuses(messages.append(self.scope, agent_id, new))
            return
        rows = self.wait(messages.append(self.scope, agent_id, new))
        assert [row.seq for row in rows] == list(range(known.last_seq + 1, known.last_seq + 1 + len(new)))
        known.last_seq += len(new)
        known.messages += [Said(one, row.seq, one.text or "") for one, row in zip(new, rows, strict=True)]

    @precondition(lambda self: self.known)
    @rule(index=INDEX)
    def append_again(self, index: int) -> None:
        agent_id, known = self.agent(index)
        if known.deleted or not known.messages:
            return
        rows = self.wait(messages.append(self.scope, agent_id, [said.new for said in known.messages]))
        assert [(row.seq, row.text) for row in rows] == [(said.seq, said.text) for said in known.messages]

    @rule(index=INDEX, text=st.text("xyz", max_size=3))
    def change_message(self, index: int, text: str) -> None:
        said = self.message(index)
        if said is None:
            return
        call = messages.update(self.scope, said.new.id, MessageChanges(text=text))
        if said.deleted:
            self.refuses(call)
            return
        assert self.wait(call).text == text
        said.text, said.changed = text, True

    @rule(index=INDEX)
    def delete_message(self, index: int) -> None:
        said = self.message(index)
        if said is None:
            return
        if said.deleted:
            self.refuses(messages.delete(self.scope, said.new.id))
            return
        self.wait(messages.delete(self.scope, said.new.id))
        said.deleted = True

    @rule(index=INDEX)
    def restore_message(self, index: int) -> None:
        said = self.message(index)
        if said is not None:
            assert self.wait(messages.restore(self.scope, said.new.id)).seq == said.seq
            said.deleted = False

    @rule(index=INDEX)
    def hard_delete_message(self, index: int) -> None:
        said = self.message(index)
        if said is None:
            return
        self.wait(messages.hard_delete(self.scope, said.new.id))
        for known in self.known.values():
            if said in known.messages:
                known.messages.remove(said)

    @precondition(lambda self: self.known)
    @rule(index=INDEX, keep=st.integers(0, 4))
    def trim_messages(self, index: int, keep: int) -> None:
        agent_id, known = self.agent(index)
        visible = known.visible()
        gone = visible[: max(0, len(visible) - keep)]
        assert self.wait(messages.trim(self.scope, agent_id, keep)) == len(gone)
        for said in gone:
            said.deleted = True

    @precondition(lambda self: self.known)
    @rule(index=INDEX)
    def delete_or_restore_agent(self, index: int) -> None:
        agent_id, known = self.agent(index)
        self.wait((agents.restore if known.deleted else agents.delete)(self.scope, agent_id))
        known.deleted = not known.deleted

    @precondition(lambda self: self.known)
    @rule(index=INDEX)
    def hard_delete_agent(self, index: int) -> None:
        agent_id, _ = self.agent(index)
        self.wait(agents.hard_delete(self.scope, agent_id))
        del self.known[agent_id]

    @precondition(lambda self: self.known)
    @rule(index=INDEX, importances=st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=3))
    def remember(self, index: int, importances: list[float]) -> None:
        agent_id, known = self.agent(index)
        new = [NewMemory(agent_id=agent_id, content="x", importance=importance) for importance in importances]
        if known.deleted:
            self.refuses(memories.create_many(self.scope, new))
            return
        self.wait(memories.create_many(self.scope, new))
        known.memories += [Kept(one) for one in new]

    @precondition(lambda self: self.known)
    @rule(index=INDEX, keep=st.integers(0, 3))
    def trim_memories(self, index: int, keep: int) -> None:
        agent_id, known = self.agent(index)
        visible = [] if known.deleted else [kept for kept in known.memories if not kept.deleted]
        # All were created in one transaction, so at one time: the id decides between equals.
        visible.sort(key=lambda kept: (kept.new.importance, kept.new.id), reverse=True)
        assert self.wait(memories.trim(self.scope, agent_id, keep)) == len(visible[keep:])
        for kept in visible[keep:]:
            kept.deleted = True

    @precondition(lambda self: self.known)
    @rule(index=INDEX, limit=st.integers(1, 4))
    def page_through(self, index: int, limit: int) -> None:
        agent_id, known = self.agent(index)
        seen, cursor = [], None
        while True:
            page = self.wait(messages.list(self.scope, agent_id, limit=limit, cursor=cursor))
            seen += [(row.seq, row.text) for row in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert seen == [(said.seq, said.text) for said in known.visible()]

    @precondition(lambda self: self.known)
    @rule(index=INDEX, limit=st.integers(1, 4))
    def read_recent(self, index: int, limit: int) -> None:
        agent_id, known = self.agent(index)
        rows = self.wait(messages.recent(self.scope, agent_id, limit=limit))
        assert [row.seq for row in rows] == [said.seq for said in known.visible()][-limit:]

    @invariant()
    def counts_agree(self) -> None:
        living = {agent_id: known for agent_id, known in self.known.items() if not known.deleted}
        assert self.wait(agents.count(self.scope)) == len(living)
        for agent_id, known in list(self.known.items())[:1]:
            assert self.wait(messages.count(self.scope, agent_id)) == len(known.visible())


def test_the_store_agrees_with_a_plain_model(shared: str) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(connect.connect(shared))
        observer = Observer(slow_query_ms=10_000)
        Store.runner, Store.connection = runner, connection
        Store.root = Root(ConnectionExecutor(connection, observer), observer)
        checks = settings(
            max_examples=RUNS,
            stateful_step_count=20,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Store, settings=checks)
        runner.run(connection.close())
