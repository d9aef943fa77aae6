"""``reembed`` and ``index vectors``: what a user types to embed what is stored, and to make large searches fast."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, embeddings, memories, organizations
from tests.cli import invoke, run

if TYPE_CHECKING:
    from pathlib import Path

EMBEDDER = """
class Embedder:
    model, dimension = "own", 256

    async def embed(self, texts):
        return [[float(len(text))] * 256 for text in texts]

def wrong():
    return object()
"""


@pytest.fixture
def acme(dsn: str) -> None:
    async def fill() -> None:
        async with Database(dsn) as db:
            scope = db.tenant((await organizations.create(db, NewOrganization(name="Acme"))).id)
            ada, bob = await agents.create_many(scope, [NewAgent(name="Ada"), NewAgent(name="Bob")])
            rows = [NewMemory(agent_id=agent.id, content=f"fact {n}") for n in range(3) for agent in (ada, bob)]
            rows = await memories.create_many(scope, rows)  # type: ignore[assignment]
            await embeddings.store(scope, "memories", [rows[0].id], [[1.0] * 384], model="old")

    asyncio.run(fill())


@pytest.mark.usefixtures("acme")
@pytest.mark.own_sessions
def test_reembed_embeds_what_is_left_and_drops_the_old(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(EMBEDDER, "utf-8")
    command = ("--dsn", dsn, "reembed", "--embedder", "mine:Embedder")
    assert run(*command, "--agent", "Ada", "--batch", "2", cwd=tmp_path) == (0, "embedded 3 rows by own\n", "")
    assert run(*command, "--drop", "old", cwd=tmp_path) == (0, "embedded 3 rows by own, removed 1 by old\n", "")
    assert run(*command, "--org", "Acme", cwd=tmp_path) == (0, "embedded 0 rows by own\n", "")
    for wrong, reason in (("mine:none", "has no attribute"), ("none:x", "No module"), ("mine:wrong", "has no model")):
        status, out, err = run("--dsn", dsn, "reembed", "--embedder", wrong, cwd=tmp_path)
        assert (status, out) == (1, "")
        assert reason in err


def test_the_index_is_built_and_removed(dsn: str) -> None:
    for options, said in (
        (("384",), "built the index over the memories of dimension 384\n"),
        (("384",), "there already is the index over the memories of dimension 384\n"),
        (("3072", "--of", "messages"), "built the index over the messages of dimension 3072\n"),
        (("384", "--drop"), "there is no index over the memories of dimension 384\n"),
    ):
        told = invoke(dsn, "index", "vectors", *options)
        assert (told.exit_code, told.stdout) == (0, said)
    refused = invoke(dsn, "index", "vectors", "385")
    assert (refused.exit_code, refused.stdout) == (1, "")
