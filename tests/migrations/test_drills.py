"""Whatever is killed, and whenever: the next `up` converges. AGENTMEM_KILLS=200 kills so often."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import pytest
from anyio.from_thread import start_blocking_portal

from agentmem_store import embedded, errors, migrations
from agentmem_store.migrations import fingerprint
from tests.migrations.planting import INVALID, POLLING, SLEEPING, ask, connected, locks, plant, until
from tests.servers import admin, on_database, open_directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KILLS = int(os.environ.get("AGENTMEM_KILLS", "6"))
AT_ONCE = 20
NO = "-- agentmem: no-transaction\n"
OURS = "application_name = 'agentmem_store migrations' AND datname = current_database()"
ALONE = [f"CREATE INDEX CONCURRENTLY {kind}_by_{column} ON t ({column});" for kind in "xyz" for column in ("id", "n")]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """The directory of a server of its own, which may be killed."""
    settings = {"fsync": "off", "autovacuum": "off", "max_connections": "200"}
    with (
        open_directory() as home,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(embedded.running(str(home / "pg"), settings=settings)),
    ):
        yield home / "pg"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files with a transaction and without, each of which leaves a line in a log when it runs."""
    plant(tmp_path, "core/0001_t", "CREATE TABLE log (line text); CREATE TABLE t AS SELECT n AS id, n"
          " FROM generate_series(1, 3000) AS n;")  # fmt: skip
    noted = "INSERT INTO log VALUES ('{}');\n"
    plant(tmp_path, "core/0002_x", NO + noted.format(2) + "\n".join(ALONE[:2]))
    plant(
        tmp_path, "core/0003_a", noted.format(3) + "ALTER TABLE t ADD COLUMN a integer DEFAULT 1; SELECT pg_sleep(0.02)"
    )
    plant(tmp_path, "core/0004_y", NO + ALONE[2] + noted.format(4) + "VACUUM t;" + ALONE[3] + noted.format("4 again"))
    plant(tmp_path, "core/0005_b", noted.format(5) + "CREATE UNIQUE INDEX t_id ON t (id); SELECT pg_sleep(0.02)")
    plant(tmp_path, "core/0006_z", NO + ALONE[4] + "DROP INDEX CONCURRENTLY x_by_n;" + ALONE[5] + noted.format(6))
    return tmp_path


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


class Worker:
    """Processes that migrate; see `worker.py`."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.migrations.worker"]
        pipe, here = subprocess.PIPE, Path(__file__).parents[2]
        self._process = subprocess.Popen(command, text=True, cwd=here, stdin=pipe, stdout=pipe)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    async def say(self, **said: Any) -> list[int]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        answer: list[int] = json.loads(await asyncio.to_thread(self._process.stdout.readline))
        return answer

    async def start(self, count: int, dsn: str, root: Path) -> list[int]:
        return await self.say(start=count, dsn=dsn, root=str(root))


@asynccontextmanager
async def fresh(place: Path) -> AsyncIterator[str]:
    """A fresh database there, on a server that runs, and is started again where it was killed."""
    async with embedded.running(str(place)) as server:
        await admin(server.dsn, "DROP DATABASE IF EXISTS drill WITH (FORCE)")
        await admin(server.dsn, "CREATE DATABASE drill TEMPLATE template0")
        yield on_database(server.dsn, "drill")


async def state(dsn: str) -> tuple[dict[str, str], list[str], int, int]:
    """Everything that has to be the same in the end: catalog, log, INVALID indexes, locks."""
    async with connected(dsn) as connection:
        catalog = await fingerprint.of(connection, None)
        lines = [row[0] for row in await connection.fetch("SELECT line FROM log ORDER BY line")]
    return catalog, lines, await ask(dsn, INVALID), await locks(dsn)


async def converge(place: Path, dsn: str, root: Path) -> tuple[dict[str, str], list[str], int, int]:
    """Run the next `up`, as whoever restarts the service would, and look at what came of it."""
    async with embedded.running(str(place)):
        await migrations.up(dsn, root=root)
        assert (await migrations.status(dsn, root=root)).at_head
        return await state(dsn)


async def kill_runner(place: Path, dsn: str, root: Path, worker: Worker, after_s: float) -> bool:
    (pid,) = await worker.start(1, dsn, root)
    await asyncio.sleep(after_s)
    os.kill(pid, signal.SIGKILL)  # until it is waited for, the number stays its own
    return await worker.say(wait=[pid]) == [-signal.SIGKILL]


async def kill_backend(place: Path, dsn: str, root: Path, worker: Worker, after_s: float) -> bool:
    running = asyncio.create_task(migrations.up(dsn, root=root))
    await asyncio.sleep(after_s)
    await ask(dsn, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}")
    (ended,) = await asyncio.gather(running, return_exceptions=True)
    assert isinstance(ended, list | errors.AgentMemError)
    return not isinstance(ended, list)


async def kill_server(place: Path, dsn: str, root: Path, worker: Worker, after_s: float) -> bool:
    running = asyncio.create_task(migrations.up(dsn, root=root))
    await asyncio.sleep(after_s)
    postmaster = int((place / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGQUIT)  # immediate shutdown
    (ended,) = await asyncio.gather(running, return_exceptions=True)
    assert isinstance(ended, list | errors.AgentMemError)
    while Path(f"/proc/{postmaster}").exists():
        await asyncio.sleep(0.01)
    return not isinstance(ended, list)


async def undisturbed(place: Path, root: Path) -> tuple[float, Any]:
    """Return how long a run takes at least, and what it leaves."""
    took: list[float] = []
    for _ in range(3):
        async with fresh(place) as dsn:
            started = perf_counter()
            await migrations.up(dsn, root=root)
            took.append(perf_counter() - started)
            expected = await state(dsn)
    return min(took), expected


async def test_a_kill_at_any_point_leaves_nothing_that_the_next_run_does_not_mend(place, root, worker):
    whole_s, expected = await undisturbed(place, root)
    assert (expected[1], expected[2:]) == (["2", "3", "4", "4 again", "5", "6"], (0, 0))
    seed = random.randrange(10**9)
    choose, hits = random.Random(seed), dict.fromkeys((kill_runner, kill_backend, kill_server), 0)
    for number in range(KILLS):
        kill = [*hits][number % 3]
        async with fresh(place) as dsn:
            after_s = choose.uniform(0, whole_s)
            hits[kill] += await kill(place, dsn, root, worker, after_s)
            assert await converge(place, dsn, root) == expected, f"{kill.__name__} after {after_s} s, seed {seed}"
    told = ", ".join(f"{kill.__name__} {count}" for kill, count in hits.items())
    sys.stdout.write(f"of {KILLS} kills these hit a migration at work: {told}\n")


async def test_twenty_processes_at_once_all_succeed_and_apply_each_migration_once(place, root, worker):
    async with fresh(place) as dsn:
        assert await worker.say(wait=await worker.start(AT_ONCE, dsn, root)) == [0] * AT_ONCE
        _, lines, invalid, held = await state(dsn)
        assert (lines, invalid, held) == (["2", "3", "4", "4 again", "5", "6"], 0, 0)
        assert (await migrations.status(dsn, root=root)).at_head


async def test_one_that_is_killed_while_nineteen_wait_is_replaced_by_one_of_them(place, root, worker):
    """The server's process would sleep on with the lock for ten minutes, if it did not look for its client."""
    plant(root, "core/0007_long", "SELECT pg_sleep(CASE WHEN EXISTS (SELECT FROM killed) THEN 0 ELSE 600 END);")
    async with fresh(place) as dsn:
        await ask(dsn, "CREATE TABLE killed ()")
        (first,) = await worker.start(1, dsn, root)
        await until(dsn, SLEEPING)
        others = await worker.start(AT_ONCE - 1, dsn, root)
        await until(dsn, POLLING)
        await ask(dsn, "INSERT INTO killed DEFAULT VALUES")
        os.kill(first, signal.SIGKILL)
        assert await worker.say(wait=[first, *others]) == [-signal.SIGKILL, *[0] * (AT_ONCE - 1)]
        _, lines, invalid, held = await state(dsn)
        assert (lines, invalid, held) == (["2", "3", "4", "4 again", "5", "6"], 0, 0)


async def test_cancelled_at_any_point_it_leaves_no_lock_and_the_next_run_converges(place, root):
    choose = random.Random(6)
    async with fresh(place) as dsn:
        await migrations.up(dsn, root=root)
        expected = await state(dsn)
    for _ in range(max(KILLS // 3, 3)):
        async with fresh(place) as dsn:
            running = asyncio.create_task(migrations.up(dsn, root=root))
            await asyncio.sleep(choose.uniform(0, 0.4))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert await locks(dsn) == 0
            assert await converge(place, dsn, root) == expected
