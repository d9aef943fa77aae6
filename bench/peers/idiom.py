"""The idiom: asyncpg.Pool used as its manual shows, and a pydantic model for each row."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import pydantic
from uuid_utils.compat import uuid7

from agentmem_store import Agent, Block, Memory, Message, Tool
from bench import seed
from bench.peers import plain
from bench.peers.ours import BUDGET, FOUND, LENT, LISTED, RECENT, TEXT, TOUCHED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from agentmem_store import PoolConfig
    from bench.ground import Place
    from bench.seed import World

__all__ = ["Idiom", "opened"]


Model = TypeVar("Model", bound=pydantic.BaseModel)


class Idiom:
    """The operations."""

    # It sends a row at a time, which for more would take minutes.
    most = 1_000

    def __init__(self, pool: Any, world: World) -> None:
        self._pool, self._world, self._org = pool, world, world.organization_id

    async def lend(self, _: int) -> int:
        async with self._pool.acquire() as connection:
            number: int = await connection.fetchval(LENT)
            return number

    async def get(self, n: int) -> Agent:
        return await self._one(Agent, plain.GET, self._world.agent(n))

    async def recent(self, _: int) -> list[Message]:
        return (await self._all(Message, plain.RECENT, self._world.agent(0), RECENT))[::-1]

    async def append(self, n: int) -> Message:
        return await self._one(Message, plain.APPEND, uuid7(), self._world.agent(n), "user", TEXT)

    async def create(self, n: int) -> Agent:
        return await self._one(Agent, plain.CREATE, uuid7(), f"agent {n}")

    async def list_agents(self, _: int) -> list[Agent]:
        return await self._all(Agent, plain.AGENTS, LISTED)

    async def rename(self, n: int) -> Agent:
        return await self._one(Agent, plain.RENAME, self._world.agent(n), f"agent {n}")

    async def create_and_delete(self, n: int) -> Agent:
        return await self._one(Agent, plain.DELETE, (await self.create(n)).id)

    async def page(self, _: int) -> list[Memory]:
        return await self._all(Memory, plain.PAGE, self._world.agent(0), RECENT)

    async def touch(self, n: int) -> str:
        ids = [self._world.memory(n * TOUCHED + k) for k in range(TOUCHED)]
        async with self._pool.acquire() as connection:
            tag: str = await connection.execute(plain.TOUCH, self._org, ids)
            return tag

    async def search(self, n: int) -> list[Memory]:
        return await self._all(Memory, plain.SEARCH, self._world.agent(0), seed.question(n), FOUND)

    async def context(self, n: int) -> list[Any]:
        """One connection for its five statements."""
        org, agent_id = self._org, self._world.agent(0)
        async with self._pool.acquire() as connection:
            return [
                Agent.model_validate(dict(await connection.fetchrow(plain.GET, org, agent_id))),
                _models(Block, await connection.fetch(plain.BLOCKS, org, agent_id)),
                _models(Tool, await connection.fetch(plain.TOOLS, org, agent_id)),
                within_budget(_models(Message, await connection.fetch(plain.RECENT, org, agent_id, RECENT))),
                _models(Memory, await connection.fetch(plain.SEARCH, org, agent_id, seed.question(n), FOUND)),
            ]

    async def transaction(self, n: int) -> Agent:
        async with self._pool.acquire() as connection, connection.transaction():
            return Agent.model_validate(dict(await connection.fetchrow(plain.GET, self._org, self._world.agent(n))))

    async def remember(self, _: int) -> Memory:
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(plain.REMEMBER, *plain.memory_record(self._world, TEXT))
        return Memory.model_validate(dict(row))

    def make(self, size: int) -> list[tuple[Any, ...]]:
        return plain.memory_records(self._world, size)

    async def store(self, batch: Sequence[tuple[Any, ...]]) -> None:
        async with self._pool.acquire() as connection:
            await connection.executemany(plain.REMEMBER, batch)

    async def _one(self, model: type[Model], sql: str, *args: Any) -> Model:
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(sql, self._org, *args)
        return model.model_validate(dict(row))

    async def _all(self, model: type[Model], sql: str, *args: Any) -> list[Model]:
        async with self._pool.acquire() as connection:
            return _models(model, await connection.fetch(sql, self._org, *args))


def _models(model: type[Model], rows: list[Any]) -> list[Model]:
    return [model.model_validate(dict(row)) for row in rows]


def within_budget(newest_first: list[Any]) -> list[Any]:
    """Return the messages, oldest first, whose tokens fit the budget: one for every four characters."""
    spent, kept = 0, []
    for message in newest_first:
        spent += 4 + len(message.text) // 4
        if spent > BUDGET:
            break
        kept.append(message)
    return kept[::-1]


@asynccontextmanager
async def opened(place: Place, config: PoolConfig) -> AsyncGenerator[Idiom]:
    """Open the pool with all of its connections."""
    size = config.max_size
    # The manual's examples set a deadline for statements, and ours always have that one.
    async with asyncpg.create_pool(place.dsn, min_size=size, max_size=size, command_timeout=60) as pool:
        yield Idiom(pool, place.world)
