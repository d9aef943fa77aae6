"""Backfills: in batches, resumed where they stopped, no batch done twice."""

from __future__ import annotations

import asyncio

import pytest

from agentmem_store import errors, migrations
from agentmem_store.config import RetryConfig
from tests.migrations.planting import ask, connected, until

ROWS = 95
FILL = """
WITH batch AS (
    SELECT id
      FROM numbers
     WHERE id > coalesce(($1::jsonb ->> 'id')::bigint, 0)
     ORDER BY id
     LIMIT $2::int
), changed AS (
    UPDATE numbers AS n
       SET times = n.times + 1
      FROM batch AS b
     WHERE n.id = b.id
)
SELECT count(*), CASE WHEN count(*) > 0 THEN jsonb_build_object('id', max(b.id)) END
  FROM batch AS b
"""
TIMES = "SELECT string_agg(DISTINCT times::text, ',' ORDER BY times::text) FROM numbers"


@pytest.fixture
async def numbers(empty_database):
    async with connected(empty_database) as connection:
        await connection.execute(
            "CREATE TABLE numbers (id bigint PRIMARY KEY, times integer NOT NULL DEFAULT 0);"
            f"INSERT INTO numbers (id) SELECT n FROM generate_series(1, {ROWS}) AS n"
        )
    return empty_database


async def test_every_row_is_done_once_and_progress_is_told(numbers):
    told: list[tuple[int, int]] = []
    done = await migrations.backfill(
        numbers, "times", FILL, size=40, total=ROWS, on_progress=lambda *args: told.append(args)
    )
    assert done == ROWS
    assert told == [(40, ROWS), (80, ROWS), (95, ROWS), (95, ROWS)]
    assert await ask(numbers, TIMES) == "1"
    assert await migrations.backfill(numbers, "times", FILL) == ROWS  # it is finished: not run again
    assert await ask(numbers, TIMES) == "1"


class Stop(Exception):
    pass


async def test_stopped_anywhere_it_goes_on_where_it_was(numbers):
    def stop(done: int, _total: int) -> None:
        if done >= 20:
            raise Stop

    with pytest.raises(Stop):
        await migrations.backfill(numbers, "times", FILL, size=10, on_progress=stop)
    assert await ask(numbers, "SELECT sum(times) FROM numbers") == 20
    assert await migrations.backfill(numbers, "times", FILL, size=10) == ROWS
    assert await ask(numbers, TIMES) == "1"


async def test_a_batch_that_fails_is_told_and_undone_and_the_next_call_goes_on(numbers):
    await ask(numbers, "ALTER TABLE numbers ADD CHECK (NOT (id = 25 AND times > 0))")
    with pytest.raises(errors.MigrationFailed, match=r"^backfill times:"):
        await migrations.backfill(numbers, "times", FILL, size=10)
    assert await ask(numbers, "SELECT sum(times) FROM numbers") == 20
    await ask(numbers, "ALTER TABLE numbers DROP CONSTRAINT numbers_check")
    assert await migrations.backfill(numbers, "times", FILL, size=10) == ROWS
    assert await ask(numbers, TIMES) == "1"


async def test_several_at_once_share_the_work(numbers):
    calls = [migrations.backfill(numbers, "times", FILL, size=7) for _ in range(4)]
    assert await asyncio.gather(*calls) == [ROWS] * 4
    assert await ask(numbers, TIMES) == "1"


async def test_a_row_in_use_is_waited_for_and_tried_again(numbers):
    async with connected(numbers) as holder:
        await holder.execute("BEGIN; SELECT id FROM numbers WHERE id = 5 FOR UPDATE")
        running = asyncio.create_task(
            migrations.backfill(numbers, "times", FILL, size=10, retry=RetryConfig(retries=9, base_ms=1, max_ms=5))
        )
        await until(numbers, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        await holder.execute("COMMIT")
        assert await running == ROWS
    assert await ask(numbers, TIMES) == "1"


async def test_a_name_belongs_to_one_statement(numbers):
    await migrations.backfill(numbers, "times", FILL)
    with pytest.raises(errors.ValidationError, match="another statement was begun under it"):
        await migrations.backfill(numbers, "times", FILL + " -- changed")


@pytest.mark.parametrize(("options", "field"), [({"size": 0}, "size"), ({"pause_s": -1}, "pause_s")])
async def test_bad_arguments_are_refused_before_any_connection(options, field):
    with pytest.raises(errors.ValidationError) as refused:
        await migrations.backfill("postgresql://nobody@127.0.0.1:1/nowhere", "x", FILL, **options)
    assert refused.value.problems[0].field == field


@pytest.mark.parametrize("sql", ["SELECT $1::jsonb, $2::int WHERE false", "SELECT $1::jsonb WHERE $2::int > 0"])
async def test_a_statement_that_does_not_tell_how_far_it_came_is_refused(numbers, sql):
    with pytest.raises(errors.MigrationFailed, match="must return one row"):
        await migrations.backfill(numbers, "x", sql)
