from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from agentmem_store import analysis
from agentmem_store.cli.analysis import queries_table
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.analysis import StatementFacts
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, messages, organizations
from tests.cli import invoke, start
from tests.servers import admin

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

SAME = "CREATE INDEX again ON agentmem.messages (organization_id, agent_id, seq) WHERE NOT is_deleted"


async def _talk(dsn: str) -> UUID:
    async with Database(dsn, DEVELOPMENT) as db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="Acme"))).id)
        agent = await agents.create(scope, NewAgent(name="talker"))
        await messages.append(scope, agent.id, [NewMessage(role="user", text="one")])
        return agent.id


def test_a_query_is_explained_by_its_name(dsn: str) -> None:
    told = invoke(dsn, "explain", "messages.recent")
    assert (told.exit_code, told.stderr) == (0, "")
    assert "generic plan, not run" in told.stdout
    assert "└── " in told.stdout
    assert "$1" in told.stdout


def test_a_query_is_run_with_arguments_given_as_text(dsn: str) -> None:
    agent_id = asyncio.run(_talk(dsn))
    args = [each for value in (agent_id, "NULL", "NULL", 5) for each in ("--arg", str(value))]
    told = invoke(dsn, "explain", "messages.recent", *args, "--analyze", "--json")
    assert (told.exit_code, told.stderr) == (0, "")
    plan = json.loads(told.stdout)
    assert (plan["analyzed"], plan["root"]["actual_rows"]) == (True, 1)


def test_what_cannot_be_explained_is_one_line(dsn: str) -> None:
    asyncio.run(_talk(dsn))
    for args, said in (
        (("messages.recnt",), "messages.recent"),
        (("messages.recent", "--arg", "no uuid"), "value"),
        (("messages.recent", *["--arg", "NULL"] * 9), "arguments"),
        (("messages.hard_delete", "--arg", "{}", "--analyze"), "writes"),
    ):
        told = invoke(dsn, "explain", *args)
        assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (1, "", 1), told.output
        assert said in told.stderr


def test_slow_says_what_it_needs(dsn: str) -> None:
    told = invoke(dsn, "slow")
    assert told.exit_code == 0
    assert "pg_stat_statements" in told.stdout
    assert "db.queries()" in told.stdout
    assert json.loads(invoke(dsn, "slow", "--json").stdout) == []
    wrong = invoke(dsn, "slow", "--order", "dearest")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (1, 1)


def test_stats_show_every_table(dsn: str) -> None:
    told = invoke(dsn, "stats")
    assert told.exit_code == 0
    tables = {table["table_name"] for table in json.loads(invoke(dsn, "stats", "--json").stdout)}
    assert {"messages", "memories", "agents"} <= tables
    assert all(name in told.stdout for name in tables)


def test_advice_is_nothing_on_a_fresh_database(dsn: str) -> None:
    told = invoke(dsn, "advise")
    assert (told.exit_code, told.stdout, told.stderr) == (0, "nothing to do\n", "")
    assert invoke(dsn, "advise", "--json").stdout == "[]\n"


def test_advice_has_a_statement_and_an_exit_status(dsn: str) -> None:
    asyncio.run(admin(dsn, SAME))
    told = invoke(dsn, "advise")
    assert told.exit_code == 1
    assert "DROP INDEX CONCURRENTLY agentmem.again;" in told.stdout.splitlines(), "a line that can be copied"
    (advice,) = json.loads(invoke(dsn, "advise", "--json").stdout)
    assert (advice["rule"], advice["severity"], advice["proof"]) == ("duplicate_index", "warning", "measured")
    assert advice["undo"].startswith("CREATE INDEX CONCURRENTLY again ON agentmem.messages")


def test_the_report_is_one_page(dsn: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    told = invoke(dsn, "report", "-o", page)
    assert (told.exit_code, told.stderr) == (0, "")
    assert "page.html" in told.stdout.replace("\n", "")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_place_that_cannot_be_written_to_is_one_line(dsn: str, tmp_path: Path) -> None:
    told = invoke(dsn, "report", "-o", tmp_path)
    assert (told.exit_code, told.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("command", [("stats",), ("advise",), ("explain", "messages.recent")])
def test_what_is_shown_fits_eighty_columns(dsn: str, command: tuple[str, ...]) -> None:
    """Nothing is cut, and but for statements, which are to be copied, no line is longer."""
    asyncio.run(admin(dsn, SAME))
    text, _ = start("--dsn", dsn, *command, COLUMNS="80").communicate()
    assert text
    assert "…" not in text
    assert all(len(line) <= 80 or line.startswith(("--", "CREATE", "DROP")) for line in text.splitlines())


def test_the_table_of_slow_queries_fits_eighty_columns() -> None:
    name = max(analysis.catalogue(), key=len)
    facts = StatementFacts(
        query=name, calls=12_345_678, total_ms=98_765_432, mean_ms=8_123.45, max_ms=98_765.4, rows=370_370_340,
        hit=1, read=1_763_668, temp=123_456,
    )  # fmt: skip
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(queries_table([analysis.QueryLine(name, None, facts)]))
    text = console.export_text()
    assert "…" not in text
    assert all(figure in text for figure in ("12 M", "8,123.45", "98,765.4", "370 M", "1.8 M", "123 k"))
