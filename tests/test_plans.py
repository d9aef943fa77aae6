"""Statements of every day read as much of a million rows as of a thousand, whenever their plans were made.

Our connections keep generic plans, and make one the first time they run a statement: maybe on empty tables, maybe on
small ones that have grown since. Here each case of tests/grown.py runs by a plan made on empty tables, by one made when
an agent had 1,000 messages and memories, and by one made when all was analyzed. Usually with 50,000 of each; with a
million by `pytest tests/test_plans.py --rows=1000000` (some minutes); `--log-cli-level=INFO` says what was read.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from agentmem_store import connect
from tests.grown import CASES, Case, Reading, plan, read, refresh, seed, seed_parents
from tests.repositories.plans import ARRAYS_IN_INDEX
from tests.servers import admin, on_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    Readings = dict[Case, Reading]

pytestmark = pytest.mark.own_sessions

_log = logging.getLogger(__name__)

# A tenth as many suffice to tell a plan that reads all of them.
SMALL, GROWN = 1_000, 10_000


@dataclass(frozen=True)
class Large:
    """What is read by plans of empty tables, and by plans of the tables as they are, on a server of that version."""

    early: Readings
    known: Readings
    version: int


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest) -> int:
    number = request.config.getoption("--rows")
    assert isinstance(number, int)
    return number


@pytest.fixture(scope="module")
def large(server: str, template: str) -> Iterator[str]:
    yield from _clone(server, template, "large")


@pytest.fixture(scope="module")
def small(server: str, template: str) -> Iterator[str]:
    yield from _clone(server, template, "small")


def _clone(server: str, template: str, name: str) -> Iterator[str]:
    clone = f"{template}_{name}"
    asyncio.run(admin(server, f'CREATE DATABASE "{clone}" TEMPLATE "{template}"'))
    yield on_database(server, clone)
    asyncio.run(admin(server, f'DROP DATABASE "{clone}" WITH (FORCE)'))


@pytest.fixture(scope="module")
def planned_large(large: str, rows: int) -> Large:
    found = asyncio.run(_read_early_and_known(large, rows))
    for case, reading in found.known.items():
        _log.info("| %s | %s | %s |", case.name, f"{reading.rows:,}", f"{reading.buffers:,}")
    return found


@pytest.fixture(scope="module")
def planned_small(small: str) -> Readings:
    return asyncio.run(_read_after_growth(small))


async def _read_early_and_known(dsn: str, rows: int) -> Large:
    connection = await connect.connect(dsn)
    try:
        await plan(connection)
        await seed_parents(connection)
        await seed(connection, 0, rows)
        early = await read(connection, once_empty=True)
        await refresh(connection)
        await connection.execute("VACUUM ANALYZE")
        return Large(early, await read(connection), connection.get_server_version().major)
    finally:
        await connection.close()


async def _read_after_growth(dsn: str) -> Readings:
    connection = await connect.connect(dsn)
    try:
        await seed_parents(connection)
        await seed(connection, 0, SMALL)
        await connection.execute("ANALYZE")
        await plan(connection)
        await seed(connection, SMALL, GROWN)
        return await read(connection)
    finally:
        await connection.close()


def hold(case: Case, reading: Reading, most: int) -> None:
    """Assert that no more was read than the case allows; where that is all of the agent's, each row once or twice."""
    shown = f"{case.name}: {reading}"
    assert case.rows is None or case.index in reading.indexes, shown
    assert reading.rows <= (case.rows or 2 * most + 100), shown
    assert reading.buffers <= (case.buffers or most + 1_000), shown


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_read_is_bounded(case: Case, planned_large: Large, rows: int) -> None:
    hold(case, planned_large.known[case], rows)


@pytest.mark.parametrize("case", [case for case in CASES if case.once_empty], ids=lambda case: case.name)
def test_so_it_is_by_a_plan_made_on_empty_tables(case: Case, planned_large: Large, rows: int) -> None:
    if case.by_array and planned_large.version < ARRAYS_IN_INDEX:
        pytest.skip("an array of ids may be a filter until the first ANALYZE")
    hold(case, planned_large.early[case], rows)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_so_it_is_by_a_plan_made_on_small_tables(case: Case, planned_small: Readings) -> None:
    hold(case, planned_small[case], GROWN)
