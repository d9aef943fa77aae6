"""The server is killed under load, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from agentmem_store import embedded, errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, organizations
from tests.pool.tools import agrees, until
from tests.servers import open_directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    from agentmem_store.scope import Scope

CONFIG = DEVELOPMENT.with_(max_size=5)


@pytest.fixture
async def place() -> AsyncIterator[Path]:
    """The directory of a server of the test's own, which runs."""
    with open_directory() as home:
        async with embedded.running(str(home / "pg")):
            yield home / "pg"


def kill(place: Path) -> None:
    """Kill the server's first process; the others end as soon as they see that it is gone."""
    os.kill(int((place / "data" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)


class Load:
    """Writers and readers who go on whatever happens."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.acknowledged: set[UUID] = set()
        self.reads = self.failed = 0
        self.ends = False

    async def write(self) -> None:
        while not self.ends:
            try:
                self.acknowledged.add((await agents.create(self.scope, NewAgent())).id)
            except (errors.ConnectError, errors.ConnectionLost):
                self.failed += 1
                await asyncio.sleep(0.01)

    async def read(self) -> None:
        while not self.ends:
            try:
                await agents.count(self.scope)
                self.reads += 1
            except (errors.ConnectError, errors.ConnectionLost):
                self.failed += 1
                await asyncio.sleep(0.01)

    async def progress(self) -> None:
        """Wait until both reads and writes get through again."""
        reads, written = self.reads, len(self.acknowledged)
        await until(lambda: self.reads > reads + 20 and len(self.acknowledged) > written + 20)


async def test_after_a_kill_under_load_the_pool_serves_again_and_what_was_acknowledged_is_there(place: Path) -> None:
    async with embedded.running(str(place)) as server, Database(server.dsn, CONFIG) as db:
        await db.migrate()
        organization = await organizations.create(db, NewOrganization(name="load"))
        load = Load(db.tenant(organization.id))
        tasks = [asyncio.create_task(work()) for work in [load.write, load.read] * 10]
        await load.progress()
        for _ in range(2):
            load.failed = 0
            kill(place)
            await until(lambda: load.failed > 0)
            async with embedded.running(str(place)):
                await load.progress()
        load.ends = True
        await asyncio.gather(*tasks)
        async with db.connection() as connection:
            stored = {row["id"] for row in await connection.fetch("SELECT id FROM agentmem.agents")}
        assert load.acknowledged <= stored
        await until(lambda: db.stats().checking == 0)
        assert agrees(db._pool)
        assert db.stats().in_use == 0


async def test_while_the_server_is_away_callers_hear_so_and_are_served_when_it_is_back(place: Path) -> None:
    async with embedded.running(str(place)) as server, Database(server.dsn, CONFIG) as db:
        await db.migrate()
        kill(place)
        with pytest.raises((errors.ConnectError, errors.ConnectionLost)):
            while True:
                await organizations.count(db)
        async with embedded.running(str(place)):
            assert await organizations.count(db) == 0
