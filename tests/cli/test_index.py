"""``index refresh`` and ``index language``: what a user types to keep searches in shape."""

from __future__ import annotations

import asyncio

import pytest

from agentmem_store.cli import store
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, memories, organizations
from tests.cli import invoke


@pytest.fixture
def acme(dsn: str) -> None:
    """An organization with the agents large, of 3,000 memories, and small, of one."""

    async def fill() -> None:
        async with Database(dsn) as db:
            scope = db.tenant((await organizations.create(db, NewOrganization(name="Acme"))).id)
            large, small = await agents.create_many(scope, [NewAgent(name="large"), NewAgent(name="small")])
            rows = [NewMemory(agent_id=large.id, content="die Häuser") for _ in range(3_000)]
            await memories.create_many(scope, [*rows, NewMemory(agent_id=small.id, content="die Häuser")])

    asyncio.run(fill())


async def found(dsn: str, query: str) -> int:
    async with Database(dsn) as db:
        scope = db.tenant((await store.existing_organization(db, "Acme")).id)
        known = await store.existing_agent(scope, "small")
        return len(await memories.search(scope, query, agent_id=known.id))


@pytest.mark.usefixtures("acme")
def test_refresh_counts_the_words_of_large_agents(dsn: str) -> None:
    one = invoke(dsn, "index", "refresh", "--agent", "large")
    assert (one.exit_code, one.stdout, one.stderr) == (0, "counted 4 common words of large\n", "")
    small = invoke(dsn, "index", "refresh", "--agent", "small", "--org", "Acme")
    assert (small.exit_code, small.stdout) == (0, "small is small: nothing to count\n")
    every = invoke(dsn, "index", "refresh")
    assert (every.exit_code, every.stderr) == (0, "")
    assert every.stdout.startswith("counted the words of 1 of 2 agents;")
    assert invoke(dsn, "index", "refresh", "--hours", "1").stdout.startswith("counted the words of 0 of 2 agents;")


@pytest.mark.usefixtures("acme")
def test_language_indexes_what_is_stored_anew(dsn: str) -> None:
    assert asyncio.run(found(dsn, "Haus")) == 0
    told = invoke(dsn, "index", "language", "german")
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout == "indexed 0 messages and 3,001 memories anew as german\n"
    assert asyncio.run(found(dsn, "Haus")) == 1
    again = invoke(dsn, "index", "language", "german", "--org", "Acme")
    assert again.stdout == "indexed 0 messages and 0 memories anew as german\n"
    unknown = invoke(dsn, "index", "language", "klingon")
    assert unknown.exit_code == 0
    assert unknown.stdout.endswith("anew as klingon; no stemmer has this name, so words are matched as written\n")


def test_what_cannot_be_done_is_one_line(dsn: str) -> None:
    asyncio.run(_empty(dsn))
    for command, reason in (
        (["refresh", "--org", "Nobody"], "no such organization"),
        (["refresh", "--agent", "nobody"], "no such agent"),
        (["language", ""], "language: must not be empty"),
        (["language", "x" * 64], "language: is longer than 63 characters"),
    ):
        told = invoke(dsn, "index", *command)
        assert (told.exit_code, told.stdout) == (1, ""), command
        assert told.stderr.count("\n") == 1
        assert reason in told.stderr


async def _empty(dsn: str) -> None:
    async with Database(dsn) as db:
        await organizations.create(db, NewOrganization(name="Acme"))
