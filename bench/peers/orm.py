"""The ORM: SQLAlchemy's asyncio extension on asyncpg, a session for each call, mapped objects as results.

Columns that the server fills in come back with the INSERT; an append is one statement, as for the others, where a unit
of work would take two; objects do not expire on commit.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload
from uuid_utils.compat import uuid7

from bench import seed
from bench.peers import plain
from bench.peers.idiom import within_budget
from bench.peers.ours import FOUND, RECENT, TEXT, TOUCHED
from bench.peers.tables import Agent, Memory, Message, MessageCounter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from sqlalchemy import Select

    from agentmem_store import PoolConfig
    from bench.ground import Place
    from bench.seed import World

    Sessions = async_sessionmaker[AsyncSession]

__all__ = ["Orm", "opened"]


class Orm:
    """The operations."""

    def __init__(self, sessions: Sessions, world: World) -> None:
        self._sessions, self._world, self._org = sessions, world, world.organization_id

    def _agent(self, n: int) -> Select[Agent]:
        return select(Agent).where(
            Agent.organization_id == self._org, Agent.id == self._world.agent(n), ~Agent.is_deleted
        )

    def _recent(self) -> Select[Message]:
        whose = (Message.organization_id == self._org, Message.agent_id == self._world.agent(0), ~Message.is_deleted)
        return select(Message).where(*whose).order_by(Message.seq.desc()).limit(RECENT)

    def _memories(self) -> Select[Memory]:
        return select(Memory).where(
            Memory.organization_id == self._org, Memory.agent_id == self._world.agent(0), ~Memory.is_deleted
        )

    def _search(self, n: int) -> Select[Memory]:
        query = func.plainto_tsquery("english", seed.question(n))
        rank = func.ts_rank(Memory.search, query).desc()
        return self._memories().where(Memory.search.op("@@")(query)).order_by(rank).limit(FOUND)

    async def get(self, n: int) -> Agent | None:
        async with self._sessions() as session:
            return await session.scalar(self._agent(n))

    async def recent(self, _: int) -> Sequence[Message]:
        async with self._sessions() as session:
            return (await session.scalars(self._recent())).all()[::-1]

    async def append(self, n: int) -> Message | None:
        agent_id = self._world.agent(n)
        counter = (
            update(MessageCounter)
            .where(MessageCounter.organization_id == self._org, MessageCounter.agent_id == agent_id)
            .values(last_seq=MessageCounter.last_seq + 1)
            .returning(MessageCounter.last_seq)
            .cte("counter")
        )
        values = (literal(self._org), literal(uuid7()), literal(agent_id), literal("user"), literal(TEXT))
        columns = ["organization_id", "id", "agent_id", "role", "text", "seq"]
        statement = insert(Message).from_select(columns, select(*values, counter.c.last_seq)).returning(Message)
        async with self._sessions() as session:
            message = await session.scalar(statement)
            await session.commit()
            return message

    async def page(self, _: int) -> Sequence[Memory]:
        newest = self._memories().order_by(Memory.created_at.desc(), Memory.id.desc()).limit(RECENT)
        async with self._sessions() as session:
            return (await session.scalars(newest)).all()

    async def touch(self, n: int) -> None:
        ids = [self._world.memory(n * TOUCHED + k) for k in range(TOUCHED)]
        touched = update(Memory).where(Memory.organization_id == self._org, Memory.id.in_(ids), ~Memory.is_deleted)
        async with self._sessions() as session:
            await session.execute(
                touched.values(access_count=Memory.access_count + 1, last_accessed=func.now()),
                execution_options={"synchronize_session": False},
            )
            await session.commit()

    async def search(self, n: int) -> Sequence[Memory]:
        async with self._sessions() as session:
            return (await session.scalars(self._search(n))).all()

    async def context(self, n: int) -> list[Any]:
        """One session for its statements, of which the relationships take one each."""
        with_links = self._agent(0).options(selectinload(Agent.blocks), selectinload(Agent.tools))
        async with self._sessions() as session:
            return [
                await session.scalar(with_links),
                within_budget(list((await session.scalars(self._recent())).all())),
                (await session.scalars(self._search(n))).all(),
            ]

    async def transaction(self, n: int) -> Agent | None:
        async with self._sessions.begin() as session:
            return await session.scalar(self._agent(n))

    def make(self, size: int) -> list[Memory]:
        names = ("organization_id", "id", "agent_id", "content", "hash")
        return [Memory(**dict(zip(names, record, strict=True))) for record in plain.memory_records(self._world, size)]

    async def store(self, batch: list[Memory]) -> None:
        async with self._sessions.begin() as session:
            session.add_all(batch)


@asynccontextmanager
async def opened(place: Place, config: PoolConfig) -> AsyncGenerator[Orm]:
    """Open an engine with as many connections as the others have."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(place.dsn),
        pool_size=config.max_size,
        max_overflow=0,
        pool_timeout=config.acquire_timeout_s,
    )
    try:
        yield Orm(async_sessionmaker(engine, expire_on_commit=False), place.world)
    finally:
        await engine.dispose()
