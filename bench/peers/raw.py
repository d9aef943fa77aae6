"""Raw: the very statements of ours on one held connection of the driver, with nothing around them. The limit.

What ours sends is listened to once, and sent again with other ids. No row becomes a model.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from uuid_utils.compat import uuid7

from agentmem_store import Database
from agentmem_store.connect import connect
from bench import seed
from bench.peers import plain
from bench.peers.ours import TOUCHED, Ours

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import asyncpg

    from agentmem_store import PoolConfig
    from bench.ground import Place
    from bench.seed import World

__all__ = ["Raw", "Recorder", "Replay", "opened"]


class Recorder:
    """A connection that keeps what is fetched through it."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self.sent: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, text: str, *args: Any) -> list[Any]:
        """Fetch, and keep the statement with its arguments."""
        self.sent.append((text, args))
        rows: list[Any] = await self._connection.fetch(text, *args)
        return rows


class Replay:
    """The last statement that was recorded, with other values in the place of some.

    Args:
        connection: what to send it on.
        sent: the statement and its arguments.
        varied: values among the arguments, or within a list of them; those that each call gives anew, in this order.
    """

    def __init__(self, connection: asyncpg.Connection[Any], sent: tuple[str, tuple[Any, ...]], *varied: Any) -> None:
        self._connection = connection
        self._text, self._args = sent
        self._places = [self._place(value) for value in varied]

    def _place(self, value: Any) -> tuple[int, bool]:
        places = [(place, arg == [value]) for place, arg in enumerate(self._args) if arg in (value, [value])]
        if len(places) != 1:
            raise ValueError("a value that varies stands once among the arguments")
        return places[0]

    async def __call__(self, *values: Any) -> list[Any]:
        """Send it with these values."""
        args = list(self._args)
        for (place, in_list), value in zip(self._places, values, strict=True):
            args[place] = [value] if in_list else value
        rows: list[Any] = await self._connection.fetch(self._text, *args)
        return rows


class Raw:
    """The operations."""

    # The columns that a memory is copied with; the table's defaults fill in the others.
    _COPIED = ("organization_id", "id", "agent_id", "content", "hash")

    def __init__(self, connection: asyncpg.Connection[Any], world: World) -> None:
        self._connection, self._world = connection, world

    async def learn(self, ours: Ours, recorder: Recorder) -> None:
        """Listen to each operation of ours once."""
        self._get = await self._replay(recorder, ours.get(0), self._world.agent(0))
        self._recent = await self._replay(recorder, ours.recent(0))
        message = (await ours.append(0))[0]
        self._append = Replay(self._connection, recorder.sent[-1], message.id, self._world.agent(0))
        agent = await ours.create(0)
        self._create = Replay(self._connection, recorder.sent[-1], agent.id)
        memory = await ours.remember(0)
        self._remember = Replay(self._connection, recorder.sent[-1], memory.id)
        self._page = await self._replay(recorder, ours.page(0))
        self._touch = await self._replay(recorder, ours.touch(0), [self._world.memory(k) for k in range(TOUCHED)])
        self._search = await self._replay(recorder, ours.search(0), seed.question(0))
        self._context = await self._replay(recorder, ours.context(0), seed.question(0))

    async def _replay(self, recorder: Recorder, call: Any, *varied: Any) -> Replay:
        before = len(recorder.sent)
        await call
        if len(recorder.sent) != before + 1:
            raise ValueError("an operation of ours is one statement")
        return Replay(self._connection, recorder.sent[-1], *varied)

    async def get(self, n: int) -> list[Any]:
        return await self._get(self._world.agent(n))

    async def recent(self, _: int) -> list[Any]:
        return await self._recent()

    async def append(self, n: int) -> list[Any]:
        return await self._append(uuid7(), self._world.agent(n))

    async def create(self, _: int) -> list[Any]:
        return await self._create(uuid7())

    async def remember(self, _: int) -> list[Any]:
        return await self._remember(uuid7())

    async def page(self, _: int) -> list[Any]:
        return await self._page()

    async def touch(self, n: int) -> list[Any]:
        return await self._touch([self._world.memory(n * TOUCHED + k) for k in range(TOUCHED)])

    async def search(self, n: int) -> list[Any]:
        return await self._search(seed.question(n))

    async def context(self, n: int) -> list[Any]:
        return await self._context(seed.question(n))

    async def transaction(self, n: int) -> list[Any]:
        async with self._connection.transaction():
            return await self._get(self._world.agent(n))

    def make(self, size: int) -> list[tuple[Any, ...]]:
        return plain.memory_records(self._world, size)

    async def store(self, batch: Sequence[tuple[Any, ...]]) -> None:
        await self._connection.copy_records_to_table(
            "memories", schema_name="agentmem", columns=self._COPIED, records=batch
        )


@asynccontextmanager
async def opened(place: Place, config: PoolConfig) -> AsyncGenerator[Raw]:
    """Hold one connection with the settings of ours: those of the session, and that long statements stay prepared."""
    connection = await connect(place.dsn)
    try:
        raw, recorder = Raw(connection, place.world), Recorder(connection)
        async with Database(place.dsn, config) as db:
            scope = db.tenant(place.world.organization_id).on(cast("asyncpg.Connection[Any]", recorder))
            await raw.learn(Ours(scope, place.world), recorder)
        yield raw
    finally:
        await connection.close()
