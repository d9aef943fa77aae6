"""``dump`` and ``load``: what a user types to take an organization, or an agent, from one database to another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentmem_store.cli import store
from agentmem_store.database import Database
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import messages, organizations
from tests.cli import fill, invoke


@pytest.fixture
def chat(dsn: str, tmp_path: Path) -> None:
    """An organization with the agents one and two, of two messages each."""
    for name in ("one", "two"):
        fill(tmp_path / f"{name}.jsonl", "你好", "coffee")
        assert invoke(dsn, "import", tmp_path / f"{name}.jsonl", "--org", "Acme", "--agent", name).exit_code == 0


async def create(dsn: str, name: str) -> None:
    async with Database(dsn) as db:
        await organizations.create(db, NewOrganization(name=name))


async def texts(dsn: str, org: str, agent: str) -> list[str | None]:
    async with Database(dsn) as db:
        scope = db.tenant((await store.existing_organization(db, org)).id)
        known = await store.existing_agent(scope, agent)
        return [row.text for row in await messages.recent(scope, known.id)]


@pytest.mark.usefixtures("chat")
def test_an_organization_goes_to_another_database(dsn: str, empty_database: str, tmp_path: Path) -> None:
    file = tmp_path / "acme.jsonl.gz"
    dumped = invoke(dsn, "dump", "--org", "Acme", file)
    assert (dumped.exit_code, dumped.stderr) == (0, "")
    rows = "9 rows (organizations 1, agents 2, message_counters 2, messages 4)"
    assert dumped.stdout == f"dumped {rows} to {file} ({file.stat().st_size:,} bytes)\n"

    assert invoke(empty_database, "migrate", "up").exit_code == 0
    loaded = invoke(empty_database, "load", file)
    assert (loaded.exit_code, loaded.stdout, loaded.stderr) == (0, f"loaded {rows} from {file}\n", "")
    assert asyncio.run(texts(empty_database, "Acme", "two")) == ["你好", "coffee"]

    again = invoke(empty_database, "load", file)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "rows of organizations that are there already: 1 of 1;" in again.stderr


@pytest.mark.usefixtures("chat")
def test_an_agent_goes_to_another_organization(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "one.dump"
    assert invoke(dsn, "dump", "--org", "Acme", "--agent", "one", file).exit_code == 0
    asyncio.run(create(dsn, "Other"))
    loaded = invoke(dsn, "load", file, "--into", "Other")
    assert (loaded.exit_code, loaded.stderr) == (0, "")
    assert loaded.stdout == f"loaded 4 rows (agents 1, message_counters 1, messages 2) from {file}\n"
    assert asyncio.run(texts(dsn, "Other", "one")) == ["你好", "coffee"]


@pytest.mark.usefixtures("chat")
def test_what_cannot_be_done_is_one_line(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "a.dump"
    failing: list[tuple[list[str | Path], str]] = [
        (["dump", "--org", "Nobody", file], "no such organization"),
        (["dump", "--org", "Acme", "--agent", "nobody", file], "no such agent"),
        (["dump", "--org", "Acme", tmp_path / "none" / "a"], "none/a: No such file or directory"),
        (["load", file], "a.dump: cannot be read: No such file or directory"),
        (["load", tmp_path / "one.jsonl"], "one.jsonl:1: is not the first line of a dump"),
    ]
    for command, reason in failing:
        told = invoke(dsn, *command)
        assert (told.exit_code, told.stdout) == (1, ""), command
        assert told.stderr.count("\n") == 1
        assert reason in told.stderr
    assert not file.exists()
