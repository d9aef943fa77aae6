"""Embeddings are stored whole or not at all, beside rows of their tenant, and vanish with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from uuid_utils.compat import uuid7

from agentmem_store import errors
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.embeddings import DIMENSIONS, EmbeddingModel
from agentmem_store.models.memories import MemoryChanges, NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.users import NewUser
from agentmem_store.repositories import agents, embeddings, memories, messages, organizations, users
from agentmem_store.retention import erase_agent, erase_organization, erase_user
from tests.populate import contents, without
from tests.vector.stored import MODEL, directions, keep, towards

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from agentmem_store.scope import Root, Scope

    Connection = asyncpg.Connection[Any]


async def kept_vectors(connection: Connection, source: str, dimension: int) -> dict[UUID, list[float]]:
    key, table = {"memories": ("memory_id", "memory"), "messages": ("message_id", "message")}[source]
    rows = await connection.fetch(
        f"SELECT {key} AS id, embedding::real[] AS numbers FROM agentmem.{table}_embeddings_{dimension}"
    )
    return {row["id"]: row["numbers"] for row in rows}


async def rows_of(scope: Scope, number: int) -> list[UUID]:
    return [row.id for row in await memories.create_many(scope, [NewMemory(content="x") for _ in range(number)])]


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("number", [3, 60])
async def test_every_dimension_keeps_what_was_stored(
    scope: Scope, connection: Connection, dimension: int, number: int
) -> None:
    kept = await keep(scope, [f"text {n}" for n in range(number)], directions(number, dimension=dimension))
    for source, rows in (("memories", kept.memories), ("messages", kept.messages)):
        found = await kept_vectors(connection, source, dimension)
        precision = "f4" if dimension <= 2000 else "f2"
        for row, vector in zip(rows, kept.vectors, strict=True):
            assert found[row.id] == np.array(vector, "f4").astype(precision).astype("f4").tolist()


async def test_they_carry_whose_their_row_is(scope: Scope, connection: Connection) -> None:
    user = await users.create(scope, NewUser(name="Ada"))
    for number in (2, 60):
        kept = await keep(scope, ["text"] * number, directions(number), user_id=user.id)
        for table, key in (("memories", "memory"), ("messages", "message")):
            copied = "m.agent_id, m.user_id, m.version" + (", m.seq, m.group_id" if table == "messages" else "")
            own = copied.replace("m.", "e.")
            same = await connection.fetchval(
                f"SELECT count(*) FROM agentmem.{key}_embeddings_384 AS e JOIN agentmem.{table} AS m "
                f"ON (m.organization_id, m.id) = (e.organization_id, e.{key}_id) "
                f"WHERE m.agent_id = $1 AND ({copied}) IS NOT DISTINCT FROM ({own})",
                kept.agent.id,
            )
            assert same == number


@pytest.mark.parametrize("number", [2, 60])
async def test_storing_again_replaces(scope: Scope, connection: Connection, number: int) -> None:
    ids = await rows_of(scope, number)
    await embeddings.store(scope, "memories", ids, directions(number), model=MODEL)
    newer = directions(number, seed=2)
    await embeddings.store(scope, "memories", ids[::-1], newer[::-1], model=MODEL)
    found = await kept_vectors(connection, "memories", 384)
    assert found == {row: np.array(one, "f4").tolist() for row, one in zip(ids, newer, strict=True)}


@pytest.mark.parametrize("number", [1, 60])
async def test_an_embedding_of_an_older_version_does_not_replace_a_newer_one(scope: Scope, number: int) -> None:
    ids = await rows_of(scope, number)
    await memories.update(scope, ids[0], MemoryChanges(content="newer"))
    await embeddings.store(scope, "memories", ids, directions(number), model=MODEL)
    await embeddings.store(scope, "memories", ids, directions(number, seed=2), model=MODEL, versions=[1] * number)
    assert await embeddings.pending(scope, "memories", model=MODEL, dimension=384) == 0


@pytest.mark.parametrize("number", [2, 60])
async def test_an_unknown_row_refuses_the_batch(scope: Scope, other: Scope, number: int) -> None:
    ids = await rows_of(scope, number)
    foreign = await rows_of(other, 1)
    await memories.delete(scope, ids[0])
    for wrong in (uuid7(), foreign[0], ids[0]):
        with pytest.raises(errors.NotFound, match="1 of the memories"):
            async with scope.transaction() as tx:
                await embeddings.store(tx, "memories", [*ids[1:], wrong], directions(number), model=MODEL)
        assert await embeddings.count(scope, "memories", model=MODEL) == 0
    assert await embeddings.models(other) == []


async def test_what_is_wrong_is_said_before_anything_is_sent(scope: Scope) -> None:
    ids, vectors = [uuid7(), uuid7()], directions(2)
    store: Any = embeddings.store
    calls: dict[str, Any] = {
        "vectors": lambda: store(scope, "memories", ids, vectors[:1], model=MODEL),
        "versions": lambda: store(scope, "memories", ids, vectors, model=MODEL, versions=[1]),
        "version": lambda: store(scope, "memories", ids, vectors, model=MODEL, versions=[1, 0]),
        "id": lambda: store(scope, "memories", [ids[0], ids[0]], vectors, model=MODEL),
        "memory_id": lambda: store(scope, "memories", ["secret", ids[0]], vectors, model=MODEL),
        "source": lambda: store(scope, "blocks", ids, vectors, model=MODEL),
        "model": lambda: store(scope, "memories", ids, vectors, model=""),
        "dimension": lambda: embeddings.pending(scope, "memories", model=MODEL, dimension=385),
        "batch_size": lambda: embeddings.drop(scope, MODEL, batch_size=0),
    }
    for field, call in calls.items():
        with pytest.raises(errors.ValidationError) as caught:
            await call()
        assert caught.value.problems[0].field == field
    await embeddings.store(scope, "memories", [], [], model=MODEL)


async def test_models_live_side_by_side_and_one_can_be_dropped(scope: Scope, other: Scope) -> None:
    kept = await keep(scope, ["a", "b", "c"], directions(3))
    await keep(other, ["theirs"], directions(1))
    ids = [row.id for row in kept.memories]
    await embeddings.store(scope, "memories", ids, directions(3, dimension=1024), model="new")
    assert await embeddings.models(scope) == [
        EmbeddingModel(source="memories", model=MODEL, dimension=384),
        EmbeddingModel(source="memories", model="new", dimension=1024),
        EmbeddingModel(source="messages", model=MODEL, dimension=384),
    ]
    told: list[tuple[int, int]] = []
    assert await embeddings.drop(scope, MODEL, batch_size=2, on_progress=lambda *seen: told.append(seen)) == 6
    assert told[-1] == (6, 6)
    assert [model.model for model in await embeddings.models(scope)] == ["new"]
    assert await embeddings.delete(scope, "memories", ids[:2], model="new") == 2
    assert await embeddings.count(scope, "memories", model="new") == 1
    assert await embeddings.count(other, "memories", model=MODEL) == 1


async def test_a_foreign_tenant_reads_and_changes_none(scope: Scope, other: Scope, connection: Connection) -> None:
    kept = await keep(scope, ["ours"], [towards(0)])
    before = await contents(connection, scope.organization_id)
    ids, said = [kept.memories[0].id], [kept.messages[0].id]
    assert await embeddings.models(other) == []
    assert await embeddings.count(other, "memories", model=MODEL) == 0
    assert await embeddings.delete(other, "memories", ids, model=MODEL) == 0
    assert await embeddings.drop(other, MODEL) == 0
    assert await embeddings.pending(other, "messages", model=MODEL, dimension=384, agent_id=kept.agent.id) == 0
    for source, rows in (("memories", ids), ("messages", said)):
        with pytest.raises(errors.NotFound):
            await embeddings.store(other, source, rows, [towards(9)], model=MODEL)  # type: ignore[arg-type]
    seen: dict[str, Any] = {"embedding": towards(0), "model": MODEL}
    assert await memories.search(other, "ours", **seen) == []
    assert await memories.search(other, "ours", agent_id=kept.agent.id, **seen) == []
    assert await messages.search(other, kept.agent.id, "ours", **seen) == []
    assert await contents(connection, scope.organization_id) == before


REMOVALS: dict[str, Any] = {
    "hard delete of the rows": lambda scope, kept, user: (
        memories.hard_delete(scope, kept.memories[0].id),
        messages.hard_delete(scope, kept.messages[0].id),
    ),
    "hard delete of the agent": lambda scope, kept, user: (agents.hard_delete(scope, kept.agent.id),),
    "hard delete of the user": lambda scope, kept, user: (users.hard_delete(scope, user.id),),
    "erasure of the agent": lambda scope, kept, user: (erase_agent(scope, kept.agent.id),),
    "erasure of the user": lambda scope, kept, user: (erase_user(scope, user.id),),
}


@pytest.mark.parametrize("removal", REMOVALS)
async def test_they_vanish_with_their_row(scope: Scope, connection: Connection, removal: str) -> None:
    user = await users.create(scope, NewUser(name="Ada"))
    kept = await keep(scope, ["gone"], [towards(0)], user_id=user.id)
    stays = await keep(scope, ["stays"], [towards(1)])
    for call in REMOVALS[removal](scope, kept, user):
        await call
    assert set(await kept_vectors(connection, "memories", 384)) == {stays.memories[0].id}
    assert set(await kept_vectors(connection, "messages", 384)) == {stays.messages[0].id}
    gone = [kept.memories[0].id, kept.messages[0].id]
    everything = await contents(connection, scope.organization_id)
    assert without(everything, *gone) == everything


@pytest.mark.parametrize("remove", [erase_organization, organizations.hard_delete])
async def test_they_vanish_with_the_organization(root: Root, scope: Scope, connection: Connection, remove: Any) -> None:
    await keep(scope, ["gone"], [towards(0)])
    await remove(root, scope.organization_id)
    assert not any((await contents(connection, scope.organization_id)).values())


async def test_a_callers_transaction_will_do(scope: Scope) -> None:
    """On a connection that knows nothing of vectors, and within somebody else's transaction."""
    agent = await agents.create(scope, NewAgent(name="bot"))
    async with scope.transaction() as tx:
        [row] = await messages.append(tx, agent.id, [NewMessage(role="user", text="hello")])
        await embeddings.store(tx, "messages", [row.id], [towards(0)], model=MODEL)
        [hit] = await messages.search(tx, agent.id, "", embedding=towards(10), model=MODEL)
    assert hit.message.id == row.id
