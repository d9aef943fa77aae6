"""Changing the model: every row is embedded once, whatever stops it on the way, and no connection waits meanwhile."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import errors
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import MemoryChanges, NewMemory
from agentmem_store.models.messages import MessageChanges, NewMessage
from agentmem_store.repositories import agents, embeddings, memories, messages
from tests.killing import killed
from tests.vector.stored import MODEL, directions, keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem_store.database import Database
    from agentmem_store.scope import Scope


class Lengths:
    """Embeds a text by its length and its first letters, and takes note of what it was asked."""

    model = "lengths"
    dimension = 256

    def __init__(self, db: Database | None = None) -> None:
        self.texts: list[str] = []
        self.lent = 0
        self._db = db

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self._db is not None:
            self.lent = max(self.lent, self._db.stats().in_use)
        self.texts += texts
        return [[float(len(text)), *map(float, text.encode()[:20]), *[1.0] * 255][:256] for text in texts]


async def talk(scope: Scope, number: int) -> None:
    agent = await agents.create(scope, NewAgent(name="bot"))
    await memories.create_many(scope, [NewMemory(content=f"fact {n}", agent_id=agent.id) for n in range(number)])
    said = [NewMessage(role="user", name="Ada", text=f"turn {n}") for n in range(number)]
    parts = NewMessage(role="user", content=[{"type": "text", "text": "a part"}])
    await messages.append(scope, agent.id, [*said, parts, NewMessage(role="tool")])


async def left(scope: Scope) -> list[int]:
    return [
        await embeddings.pending(scope, source, model="lengths", dimension=256)
        for source in ("memories", "messages")
    ]  # fmt: skip


async def test_every_row_is_embedded_as_it_is_searched(db: Database, tenant: Scope) -> None:
    await talk(tenant, 5)
    embedder, told = Lengths(db), list[tuple[int, int]]()
    assert await left(tenant) == [5, 6]
    done = await embeddings.reembed(tenant, embedder, batch_size=2, on_progress=lambda *seen: told.append(seen))
    assert done == 11
    assert embedder.texts == [f"fact {n}" for n in range(5)] + [f"Ada turn {n}" for n in range(5)] + ["a part"]
    assert embedder.lent == 0, "no connection is held while it embeds"
    assert (told[0], told[-1]) == ((2, 11), (11, 11))
    assert await left(tenant) == [0, 0]
    assert await embeddings.reembed(tenant, embedder) == 0


async def test_what_changed_is_embedded_again(db: Database, tenant: Scope) -> None:
    await talk(tenant, 3)
    await embeddings.reembed(tenant, Lengths())
    rows = (await memories.list(tenant)).items
    await memories.update(tenant, rows[0].id, MemoryChanges(content="another"))
    await memories.delete(tenant, rows[1].id)
    agent = (await agents.list(tenant)).items[0]
    said = (await messages.recent(tenant, agent.id))[0]
    await messages.update(tenant, said.id, MessageChanges(text="otherwise"))
    again = Lengths()
    assert await embeddings.reembed(tenant, again) == 2
    assert again.texts == ["another", "Ada otherwise"]
    assert await embeddings.reembed(tenant, Lengths(), sources=["memories"], agent_id=agent.id) == 0


async def test_stopped_anywhere_it_goes_on_with_what_is_left(db: Database, tenant: Scope) -> None:
    await talk(tenant, 20)
    dice, embedder = random.Random(3), Lengths()

    async def slowly(scope: Scope) -> None:
        await embeddings.reembed(scope, embedder, batch_size=1)

    kills = [await killed(tenant, slowly, dice.randrange(1, 12), dice.randrange(4)) for _ in range(8)]
    assert sum(kills) == 8
    seen = len(embedder.texts)
    assert 0 < seen < 41
    await embeddings.reembed(tenant, embedder)
    assert await left(tenant) == [0, 0]
    assert len(embedder.texts) <= 41 + sum(kills), "at most the batch that was under way is embedded again"


async def test_an_embedder_that_fails_loses_only_its_batch(db: Database, tenant: Scope) -> None:
    await talk(tenant, 6)

    class Failing(Lengths):
        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            if len(self.texts) >= 4:
                raise ConnectionError("the model is away")
            return await super().embed(texts)

    with pytest.raises(ConnectionError):
        await embeddings.reembed(tenant, Failing(), batch_size=2)
    assert await left(tenant) == [2, 7]


async def test_a_row_that_goes_meanwhile_is_passed_over(db: Database, tenant: Scope) -> None:
    await talk(tenant, 4)
    rows = (await memories.list(tenant)).items

    class Deleting(Lengths):
        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            await memories.hard_delete(tenant, rows[0].id)
            await memories.update(tenant, rows[1].id, MemoryChanges(content="newer"))
            return await super().embed(texts)

    assert await embeddings.reembed(tenant, Deleting(), sources=["memories"]) == 3
    assert await left(tenant) == [1, 5], "what changed meanwhile is left for the next run"


async def test_wrong_answers_are_named(db: Database, tenant: Scope) -> None:
    await talk(tenant, 2)

    def answering(answer: Any, **fields: Any) -> Any:
        async def embed(self: Any, texts: Sequence[str]) -> Any:
            return answer

        return type("Wrong", (Lengths,), {"embed": embed, **fields})()

    for answer, reason in ((directions(1, dimension=256), "1 vectors for 2"), (directions(2), "384 numbers")):
        with pytest.raises(errors.ValidationError, match=reason):
            await embeddings.reembed(tenant, answering(answer))
    with pytest.raises(errors.ValidationError, match="dimension"):
        await embeddings.reembed(tenant, answering([], dimension=257))
    async with tenant.transaction() as tx:
        with pytest.raises(errors.UsageError, match="holds no connection"):
            await embeddings.reembed(tx, Lengths())
    assert await left(tenant) == [2, 3]


async def test_a_model_is_changed_while_searches_go_on(db: Database, tenant: Scope) -> None:
    """By the old model, by the new one as far as it has come, and by words for the rest; then the old one goes."""
    kept = await keep(tenant, [f"text {n}" for n in range(6)], directions(6))
    new = Lengths()
    first = kept.memories[:3]
    vectors = await new.embed([row.content for row in first])
    await embeddings.store(tenant, "memories", [row.id for row in first], vectors, model=new.model)
    old = await memories.search(tenant, "", embedding=kept.vectors[5], model=MODEL)
    assert (old[0].memory.id, len(old)) == (kept.memories[5].id, 6)
    half = await memories.search(tenant, "text", embedding=vectors[0], model=new.model)
    assert {hit.memory.id for hit in half} == {row.id for row in kept.memories}
    await embeddings.reembed(tenant, new)
    await embeddings.drop(tenant, MODEL)
    assert [model.model for model in await embeddings.models(tenant)] == [new.model, new.model]
