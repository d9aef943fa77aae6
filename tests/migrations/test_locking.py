"""One migrates, the others wait or are told."""

from __future__ import annotations

import asyncio
from functools import partial
from urllib.parse import urlsplit

import anyio
import pytest

from agentmem_store import errors, migrations
from agentmem_store.migrations import problems
from tests.migrations.planting import POLLING, SLEEPING, ask, labels, lock_held, locks, plant, tables, until
from tests.servers import on_database, pgbouncer, why_no_pgbouncer


@pytest.mark.parametrize("seconds", [0, 0.2])
async def test_the_wait_for_the_lock_ends_and_names_its_holder(empty_database, root, seconds):
    async with lock_held(empty_database) as pid:
        with pytest.raises(errors.MigrationLocked, match=rf"pid {pid} \(another deploy\), connected for \d+ s") as told:
            await migrations.up(empty_database, root=root, wait_s=seconds)
    assert told.value.retryable
    assert await tables(empty_database) == set()


async def test_a_holder_that_dies_frees_the_way(empty_database, root):
    async with lock_held(empty_database) as pid:
        waiting = asyncio.create_task(migrations.up(empty_database, root=root))
        await until(empty_database, POLLING)
        assert await ask(empty_database, "SELECT pg_terminate_backend($1)", pid)
        assert len(await waiting) == 3


async def test_cancelling_the_task_leaves_no_lock_and_no_half(empty_database, root):
    plant(root, "core/0004_d", "CREATE TABLE d (id integer); SELECT pg_sleep(600);")
    running = asyncio.create_task(migrations.up(empty_database, root=root))
    await until(empty_database, SLEEPING)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await locks(empty_database) == 0
    assert await tables(empty_database) == {"a", "b", "c"}


async def test_a_cancelled_scope_leaves_no_lock_and_no_half(empty_database, root):
    """A scope cancels every later await too, so the clean-up has to be shielded."""
    plant(root, "core/0004_d", "CREATE TABLE d (id integer); SELECT pg_sleep(600);")
    async with anyio.create_task_group() as group:
        group.start_soon(partial(migrations.up, empty_database, root=root))
        await until(empty_database, SLEEPING)
        group.cancel_scope.cancel()
    assert await locks(empty_database) == 0
    assert await tables(empty_database) == {"a", "b", "c"}


async def test_a_transaction_pooler_is_refused_before_anything_is_locked_or_run(server, empty_database, root):
    if reason := why_no_pgbouncer():
        pytest.skip(reason)
    with pgbouncer(server, ignore_startup_parameters="plan_cache_mode,jit") as through:
        dsn = on_database(through, urlsplit(empty_database).path[1:])
        with pytest.raises(problems.MigrationThroughPooler, match="AGENTMEM_MIGRATION_DSN"):
            await migrations.up(dsn, root=root)
    assert labels((await migrations.status(empty_database, root=root)).applied) == []
    assert await locks(empty_database) == 0
