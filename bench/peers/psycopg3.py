"""psycopg 3 with psycopg_pool, and a pydantic model for each row.

Autocommit spares it the BEGIN and COMMIT of its default; statements are prepared when they are first sent; `$n`
placeholders spare it the rewriting of `%s`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from uuid_utils.compat import uuid7

from agentmem_store import Agent, Block, Memory, Message, Tool
from bench import seed
from bench.peers import plain
from bench.peers.idiom import within_budget
from bench.peers.ours import FOUND, LENT, RECENT, TEXT, TOUCHED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from agentmem_store import PoolConfig
    from bench.ground import Place
    from bench.seed import World

    Pool = AsyncConnectionPool[AsyncConnection[DictRow]]

__all__ = ["Psycopg", "opened"]


Model = TypeVar("Model", bound=pydantic.BaseModel)


class Psycopg:
    """The operations."""

    def __init__(self, pool: Pool, world: World) -> None:
        self._pool, self._world, self._org = pool, world, world.organization_id

    async def lend(self, _: int) -> int:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(LENT.encode())).fetchone()
            return int(row["number"]) if row else 0

    async def get(self, n: int) -> Agent:
        return (await self._all(Agent, plain.GET, self._world.agent(n)))[0]

    async def recent(self, _: int) -> list[Message]:
        return (await self._all(Message, plain.RECENT, self._world.agent(0), RECENT))[::-1]

    async def append(self, n: int) -> Message:
        return (await self._all(Message, plain.APPEND, uuid7(), self._world.agent(n), "user", TEXT))[0]

    async def page(self, _: int) -> list[Memory]:
        return await self._all(Memory, plain.PAGE, self._world.agent(0), RECENT)

    async def touch(self, n: int) -> int:
        ids = [self._world.memory(n * TOUCHED + k) for k in range(TOUCHED)]
        async with self._pool.connection() as connection:
            return (await connection.execute(plain.TOUCH.encode(), (self._org, ids))).rowcount

    async def search(self, n: int) -> list[Memory]:
        return await self._all(Memory, plain.SEARCH, self._world.agent(0), seed.question(n), FOUND)

    async def context(self, n: int) -> list[Any]:
        """One connection for its five statements."""
        agent_id = self._world.agent(0)
        async with self._pool.connection() as connection:

            async def fetch(model: type[Model], sql: str, *args: Any) -> list[Model]:
                return await _models(connection, model, sql, (self._org, agent_id, *args))

            return [
                (await fetch(Agent, plain.GET))[0],
                await fetch(Block, plain.BLOCKS),
                await fetch(Tool, plain.TOOLS),
                within_budget(await fetch(Message, plain.RECENT, RECENT)),
                await fetch(Memory, plain.SEARCH, seed.question(n), FOUND),
            ]

    async def transaction(self, n: int) -> Agent:
        async with self._pool.connection() as connection, connection.transaction():
            return (await _models(connection, Agent, plain.GET, (self._org, self._world.agent(n))))[0]

    def make(self, size: int) -> list[tuple[Any, ...]]:
        return plain.memory_records(self._world, size)

    async def store(self, batch: Sequence[tuple[Any, ...]]) -> None:
        async with self._pool.connection() as connection, connection.cursor().copy(plain.COPY.encode()) as copy:
            for record in batch:
                await copy.write_row(record)

    async def _all(self, model: type[Model], sql: str, *args: Any) -> list[Model]:
        async with self._pool.connection() as connection:
            return await _models(connection, model, sql, (self._org, *args))


async def _models(
    connection: AsyncConnection[DictRow], model: type[Model], sql: str, args: tuple[Any, ...]
) -> list[Model]:
    cursor = await connection.execute(sql.encode(), args)
    return [model.model_validate(row) for row in await cursor.fetchall()]


@asynccontextmanager
async def opened(place: Place, config: PoolConfig) -> AsyncGenerator[Psycopg]:
    """Open the pool with all of its connections."""
    how = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row, "cursor_factory": AsyncRawCursor}
    pool: Pool = AsyncConnectionPool(
        place.dsn, min_size=config.max_size, max_size=config.max_size, open=False, kwargs=how
    )
    async with pool:
        await pool.wait()
        yield Psycopg(pool, place.world)
