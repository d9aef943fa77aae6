"""Searches by words and by a vector: the scores are what they are said to be, and filters stand inside."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import context, errors
from agentmem_store.models.embeddings import Fusion
from agentmem_store.models.memories import MetadataFilter, NewMemory
from agentmem_store.models.messages import MessageFilter, Neighbours, NewMessage
from agentmem_store.models.users import NewUser
from agentmem_store.repositories import embeddings, memories, messages, users
from tests.vector.stored import MODEL, cosine, directions, keep, towards

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.scope import Scope
    from tests.vector.stored import Kept

WORDS = ("coffee", "tea", "piano", "garden", "river", "letter")
QUERY = "coffee with a piano"
ALONE = Neighbours(after=0, before=0)
WEIGHTS = [Fusion(), Fusion(vector=0.2), Fusion(vector=0), Fusion(vector=1)]


@pytest.fixture
async def kept(scope: Scope) -> Kept:
    chosen = random.Random(7)
    texts = [" ".join(chosen.sample(WORDS, 3)) + f" number{n}" + "?" * (n % 4 == 0) for n in range(40)]
    return await keep(scope, texts, directions(40))


def fused(words: dict[UUID, float], similar: dict[UUID, float], fusion: Fusion) -> dict[UUID, tuple[float, float]]:
    """By hand: what the words and the vector give to each row."""
    best, most, least = max(words.values(), default=1), max(similar.values()), min(similar.values())
    return {
        row: (
            (1 - fusion.vector) * words.get(row, 0) / best,
            fusion.vector * (similar[row] - least) / (most - least) if row in similar else 0,
        )
        for row in {*words, *similar}
    }


@pytest.mark.parametrize("fusion", WEIGHTS, ids=str)
async def test_memories_are_scored_as_by_hand(scope: Scope, kept: Kept, fusion: Fusion) -> None:
    [asked] = directions(1, seed=9)
    seen: dict[str, Any] = {"agent_id": kept.agent.id, "limit": 100}
    by_words = {hit.memory.id: hit.score for hit in await memories.search(scope, QUERY, **seen)}
    similar = {row.id: cosine(asked, one) for row, one in zip(kept.memories, kept.vectors, strict=True)}
    expected = fused(by_words, similar, fusion)
    hits = await memories.search(scope, QUERY, **seen, embedding=asked, model=MODEL, fusion=fusion)
    assert len(hits) == len(expected) == 40
    for hit in hits:
        text, vector = expected[hit.memory.id]
        assert hit.parts == pytest.approx({"text": text, "vector": vector, "importance": 0, "recency": 0}, abs=1e-5)
        assert hit.score == pytest.approx(sum(hit.parts.values()))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    few = await memories.search(scope, QUERY, agent_id=kept.agent.id, embedding=asked, model=MODEL, fusion=fusion)
    assert [hit.memory.id for hit in few] == [hit.memory.id for hit in hits[:10]]


@pytest.mark.parametrize("fusion", WEIGHTS, ids=str)
async def test_messages_are_scored_with_their_neighbours_as_by_hand(scope: Scope, kept: Kept, fusion: Fusion) -> None:
    [asked] = directions(1, seed=9)
    words = await messages.search(scope, kept.agent.id, QUERY, limit=100, neighbours=ALONE)
    similar = {row.id: cosine(asked, one) for row, one in zip(kept.messages, kept.vectors, strict=True)}
    parts = fused({hit.message.id: hit.score for hit in words}, similar, fusion)
    own = [sum(parts[row.id]) for row in kept.messages]
    expected = {}
    for place, row in enumerate(kept.messages):
        given = 0.0
        for step, weight in ((1, 0.3), (2, 0.3 / 4), (-1, 0.2), (-2, 0.2 / 4)):
            if 0 <= place - step < len(own):
                question = 2 if step == 1 and "?" in str(kept.messages[place - 1].text) else 1
                given += own[place - step] * weight * question
        expected[row.id] = given
    hits = await messages.search(scope, kept.agent.id, QUERY, limit=100, embedding=asked, model=MODEL, fusion=fusion)
    assert len(hits) == 40
    for hit in hits:
        text, vector = parts[hit.message.id]
        promised = {"text": text, "vector": vector, "neighbours": expected[hit.message.id], "recency": 0}
        assert hit.parts == pytest.approx(promised, abs=1e-5)
        assert hit.score == pytest.approx(sum(hit.parts.values()))


async def test_a_context_finds_the_same_memories(scope: Scope, kept: Kept) -> None:
    [asked] = directions(1, seed=9)
    seen: dict[str, Any] = {"embedding": asked, "model": MODEL, "fusion": Fusion(vector=0.7)}
    hits = await memories.search(scope, QUERY, agent_id=kept.agent.id, **seen)
    whole = await context.assemble(scope, kept.agent.id, token_budget=0, query=QUERY, **seen)
    assert [(hit.memory.id, hit.parts) for hit in whole.memories] == [(hit.memory.id, hit.parts) for hit in hits]
    near = await context.assemble(scope, kept.agent.id, token_budget=0, memory_limit=3, **seen)
    assert len(near.memories) == 3


async def test_a_context_leaves_out_memories_of_another_user(scope: Scope, kept: Kept) -> None:
    ada, bob = [await users.create(scope, NewUser(name=name)) for name in ("Ada", "Bob")]
    made = [NewMemory(content="fact", agent_id=kept.agent.id, user_id=user.id) for user in (ada, bob)]
    rows = [row.id for row in await memories.create_many(scope, made)]
    await embeddings.store(scope, "memories", rows, [towards(0), towards(1)], model=MODEL)
    seen: dict[str, Any] = {"embedding": towards(0), "model": MODEL, "token_budget": 0, "memory_limit": 100}
    filters: dict[str, Any]
    for filters in ({"user_id": ada.id}, {"user_id": ada.id, "group_id": "group"}):
        whole = await context.assemble(scope, kept.agent.id, **filters, **seen)
        found = {hit.memory.id for hit in whole.memories}
        assert (rows[0] in found, rows[1] in found, len(found)) == (True, False, 41)


async def test_importance_and_recency_count_when_asked_for(scope: Scope, kept: Kept) -> None:
    old = datetime.now(UTC) - timedelta(days=30)
    new = NewMemory(content="letter", agent_id=kept.agent.id, importance=0.5, created_at=old)
    row = await memories.create(scope, new)
    await embeddings.store(scope, "memories", [row.id], [towards(0)], model=MODEL)
    fusion = Fusion(importance=0.4, recency=0.2, half_life_days=15)
    hits = await memories.search(
        scope, "letter", agent_id=kept.agent.id, limit=100, embedding=towards(5), model=MODEL, fusion=fusion
    )
    parts = {hit.memory.id: hit.parts for hit in hits}
    assert parts[row.id]["importance"] == pytest.approx(0.2)
    assert parts[row.id]["recency"] == pytest.approx(0.05, rel=1e-3)
    assert parts[kept.memories[0].id]["recency"] == pytest.approx(0.2, rel=1e-3)
    found = await messages.search(
        scope, kept.agent.id, "letter", embedding=towards(5), model=MODEL, fusion=fusion, neighbours=ALONE
    )
    assert found[0].parts["recency"] == pytest.approx(0.2, rel=1e-3)


async def test_memory_filters_stand_inside(scope: Scope) -> None:
    """The one that fits is the farthest of all: taken afterwards, the filters would leave nothing."""
    ada = await users.create(scope, NewUser(name="Ada"))
    kept = await keep(scope, ["near"] * 250, [towards(n / 10) for n in range(250)])
    fits = NewMemory(
        content="far", agent_id=kept.agent.id, user_id=ada.id, memory_type="core", scope="session", level="tactical",
        metadata={"k": 1},
    )  # fmt: skip
    row = await memories.create(scope, fits)
    await embeddings.store(scope, "memories", [row.id], [towards(170)], model=MODEL)
    seen: dict[str, Any] = {"embedding": towards(0), "model": MODEL}
    filters: dict[str, Any]
    owners: list[dict[str, Any]] = [{}, {"agent_id": kept.agent.id}]
    for filters in (
        {"user_id": ada.id},
        {"memory_type": "core"},
        {"memory_scope": "session"},
        {"level": "tactical"},
        {"metadata": MetadataFilter(contains={"k": 1})},
    ):
        for owner in owners:
            assert [hit.memory.id for hit in await memories.search(scope, "", **owner, **filters, **seen)] == [row.id]
    for wanted in ('"far"', "far -near"):
        assert [hit.memory.id for hit in await memories.search(scope, wanted, **seen)][:1] == [row.id]
    await memories.delete(scope, row.id)
    assert await memories.search(scope, "", user_id=ada.id, **seen) == []


async def test_message_filters_stand_inside_and_do_not_bind_neighbours(scope: Scope) -> None:
    ada = await users.create(scope, NewUser(name="Ada"))
    kept = await keep(scope, ["near"] * 250, [towards(n / 10) for n in range(250)])
    fits = NewMessage(role="tool", text="far", metadata={"k": 1}, created_at=datetime(2020, 1, 1, tzinfo=UTC))
    [row] = await messages.append(scope, kept.agent.id, [fits])
    await embeddings.store(scope, "messages", [row.id], [towards(170)], model=MODEL)
    seen: dict[str, Any] = {"embedding": towards(0), "model": MODEL}
    for only in (
        MessageFilter(role="tool"),
        MessageFilter(until=datetime(2020, 1, 2, tzinfo=UTC)),
        MessageFilter(metadata=MetadataFilter(contains={"k": 1})),
    ):
        [hit] = await messages.search(scope, kept.agent.id, "", only=only, **seen)
        assert hit.message.id == row.id
    threads = [NewMessage(role="user", text="theirs", user_id=ada.id, group_id="group")]
    [theirs] = await messages.append(scope, kept.agent.id, threads)
    await embeddings.store(scope, "messages", [theirs.id], [towards(90)], model=MODEL)
    thread: dict[str, Any]
    for thread in ({"user_id": ada.id}, {"group_id": "group"}, {"user_id": ada.id, "group_id": "group"}):
        [hit] = await messages.search(scope, kept.agent.id, "", **thread, **seen)
        assert hit.message.id == theirs.id
    beside = await messages.append(
        scope,
        kept.agent.id,
        [NewMessage(role="user", text="it is this"), NewMessage(role="assistant", text="so it is")],
    )
    await embeddings.store(scope, "messages", [m.id for m in beside], [towards(0), towards(120)], model=MODEL)
    [hit] = await messages.search(scope, kept.agent.id, "", only=MessageFilter(role="assistant"), **seen)
    assert hit.parts["neighbours"] > 0.1


async def test_what_a_model_has_not_embedded_is_found_by_its_words(scope: Scope, kept: Kept) -> None:
    """So searches go on while a model is being changed."""
    row = await memories.create(scope, NewMemory(content="a violin", agent_id=kept.agent.id))
    hits = await memories.search(scope, "violin", agent_id=kept.agent.id, embedding=towards(0), model=MODEL)
    assert row.id in {hit.memory.id for hit in hits}
    assert next(hit for hit in hits if hit.memory.id == row.id).parts["vector"] == 0
    [hit] = await memories.search(scope, "violin", agent_id=kept.agent.id, embedding=towards(0), model="unknown")
    assert hit.parts == {"text": 0.5, "vector": 0, "importance": 0, "recency": 0}


async def test_a_vector_is_given_whole_or_not_at_all(scope: Scope, kept: Kept) -> None:
    search: Any = memories.search
    wrong: dict[str, dict[str, Any]] = {
        "model": {"embedding": towards(0)},
        "embedding": {"model": MODEL},
        "fusion": {"embedding": towards(0), "model": MODEL, "fusion": 0.5},
        "limit": {"embedding": towards(0), "model": MODEL, "limit": 0},
    }
    for field, given in wrong.items():
        with pytest.raises(errors.ValidationError) as caught:
            await search(scope, "x", **given)
        assert caught.value.problems[0].field == field
    with pytest.raises(errors.ValidationError, match="embedding: has 3 numbers"):
        await messages.search(scope, kept.agent.id, "x", embedding=[1.0, 2.0, 3.0], model=MODEL)
    with pytest.raises(errors.ValidationError):
        Fusion(vector=1.1)
    with pytest.raises(errors.ValidationError):
        Fusion(half_life_days=0)


async def test_rows_of_nobody_and_of_all(scope: Scope, kept: Kept) -> None:
    """Without an agent, all of the organization's memories are searched, those of no agent too."""
    row = await memories.create(scope, NewMemory(content="nobody's"))
    await embeddings.store(scope, "memories", [row.id], [towards(0)], model=MODEL)
    hits = await memories.search(scope, "", embedding=towards(1), model=MODEL, limit=100)
    assert hits[0].memory.id == row.id
    assert len(hits) == 41
