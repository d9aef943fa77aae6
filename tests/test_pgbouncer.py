"""Through PgBouncer in transaction mode: what has to be said, what works, and what is refused."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import connect, errors, migrations
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, organizations
from tests.cli import run
from tests.proxy import proxied
from tests.servers import on_database, pgbouncer, why_no_pgbouncer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentmem_store.scope import Scope

needs_pgbouncer = pytest.mark.skipif(why_no_pgbouncer() is not None, reason=str(why_no_pgbouncer()))
POOLED = DEVELOPMENT.with_(pooler="transaction", slow_query_ms=60_000)


@pytest.fixture(scope="module")
def bouncer(server: str) -> Iterator[str]:
    """The DSN of a PgBouncer that has one connection to each database, and refuses parameters it does not know."""
    with pgbouncer(server, default_pool_size=1) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def tolerant(server: str) -> Iterator[str]:
    """The DSN of a PgBouncer that swallows what it cannot keep."""
    with pgbouncer(server, ignore_startup_parameters="plan_cache_mode,jit") as dsn:
        yield dsn


@needs_pgbouncer
@pytest.mark.parametrize("which", ["bouncer", "tolerant"])
async def test_a_pooler_that_nobody_spoke_of_is_found_when_opening(request: pytest.FixtureRequest, which: str) -> None:
    dsn: str = request.getfixturevalue(which)
    with pytest.raises(errors.ConfigurationError, match=r"set pooler='transaction' .*migration_dsn"):
        await Database(dsn, DEVELOPMENT).open()


@needs_pgbouncer
async def test_a_pooler_is_told_from_a_server(server: str, tolerant: str) -> None:
    for dsn, expected in ((server, False), (tolerant, True)):
        connection = await connect.connect(dsn)
        assert await connect.behind_pooler(connection) is expected
        await connection.close()


@needs_pgbouncer
async def test_many_callers_share_one_connection_of_the_server(bouncer: str, dsn: str) -> None:
    through = on_database(bouncer, dsn.partition("?")[0].rpartition("/")[2])
    async with Database(through, POOLED) as db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="pooled"))).id)

        async def work(number: int) -> None:
            made = await agents.create(scope, NewAgent(name=f"{number}"))
            async with scope.transaction() as tx:
                assert (await agents.get(tx, made.id)).name == f"{number}"
            await agents.create_many(scope, [NewAgent(), NewAgent()])

        await asyncio.gather(*(work(number) for number in range(40)))
        assert await agents.count(scope) == 120


@needs_pgbouncer
async def test_giving_a_connection_back_leaves_the_session_of_others_alone(bouncer: str) -> None:
    other, ours = [await connect.for_pool(bouncer, POOLED) for _ in range(2)]
    await other.execute("SET work_mem = '7MB'")
    await ours.reset()
    assert await other.fetchval("SHOW work_mem") == "7MB"
    await other.execute("RESET ALL")
    for connection in (other, ours):
        await connection.close()


@needs_pgbouncer
async def test_migrations_go_to_the_server_itself(bouncer: str, empty_database: str) -> None:
    through = on_database(bouncer, empty_database.partition("?")[0].rpartition("/")[2])
    async with Database(through, POOLED) as db:
        with pytest.raises(errors.ConfigurationError, match="migration_dsn="):
            await db.migrate()
    async with Database(through, POOLED, migration_dsn=empty_database) as db:
        assert await db.migrate()
        assert (await migrations.status(db.migration_dsn)).at_head
        await organizations.create(db, NewOrganization(name="migrated"))


@needs_pgbouncer
async def test_a_command_is_told_by_variables(bouncer: str, empty_database: str) -> None:
    through = on_database(bouncer, empty_database.partition("?")[0].rpartition("/")[2])
    told = {"AGENTMEM_DSN": through, "AGENTMEM_MIGRATION_DSN": empty_database, "AGENTMEM_POOLER": "transaction"}
    assert (await asyncio.to_thread(run, "migrate", "up", **told))[0] == 0
    code, _, err = await asyncio.to_thread(run, "search", "x", "--agent", "a", **told)
    assert (code, err) == (1, "error: there is no such organization; import something first, or see --org\n")
    del told["AGENTMEM_POOLER"]
    assert "AGENTMEM_POOLER=transaction" in (await asyncio.to_thread(run, "search", "x", "--agent", "a", **told))[2]


@pytest.mark.own_sessions
@pytest.mark.parametrize(("settings", "expected"), [({}, 2), ({"prepared_statements": True}, 1)])
async def test_statements_stay_prepared_only_where_it_is_said(
    dsn: str, tenant: Scope, settings: dict[str, Any], expected: int
) -> None:
    """Counted without a pooler, whose messages would be counted too."""
    agent = await agents.create(tenant, NewAgent())
    async with proxied(dsn) as (proxy, through), Database(through, POOLED.with_(max_size=1, **settings)) as db:
        scope = db.tenant(tenant.organization_id)
        await agents.get(scope, agent.id)
        before = proxy.round_trips
        await agents.get(scope, agent.id)
        assert proxy.round_trips - before == expected


def test_few_tests_need_sessions_of_their_own() -> None:
    """Whatever is marked is not run through PgBouncer: the number may fall, and has to be argued for if it rises.

    They look at a session's own plans, processes or settings, count round trips, read what goes over the wire, or wait
    for each other in two transactions. Advice is about a server, and asks it in sessions of its own. The pool's own
    tests come on top.
    """
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py")]
    single = sum(len(re.findall(r"^@pytest\.mark\.own_sessions", text, re.MULTILINE)) for text in texts)
    whole = [text for text in texts if re.search(r"^pytestmark = .*own_sessions", text, re.MULTILINE)]
    assert single + sum(len(re.findall(r"^(?:async )?def test_", text, re.MULTILINE)) for text in whole) <= 111
