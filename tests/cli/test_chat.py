from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agentmem_store.cli import store
from agentmem_store.database import Database
from agentmem_store.migrations import problems
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, messages, organizations
from tests.cli import fill, invoke, run


def rows(table: str) -> list[list[str]]:
    """The words of each line of a table."""
    return [line.split() for line in table.splitlines() if line.strip()]


async def conversation(dsn: str, org: str, agent: str) -> list[str | None]:
    async with Database(dsn) as db:
        scope = db.tenant((await store.existing_organization(db, org)).id)
        known = await store.existing_agent(scope, agent)
        return [row.text for row in await messages.recent(scope, known.id, limit=1000)]


async def totals(dsn: str) -> tuple[int, list[int]]:
    """How many organizations there are, and how many agents each has, oldest first."""
    async with Database(dsn) as db:
        every = (await organizations.list(db, limit=100)).items
        return len(every), [await agents.count(db.tenant(one.id)) for one in reversed(every)]


def test_import_stores_each_file_with_an_agent_of_its_own_and_again_nothing(dsn: str, tmp_path: Path) -> None:
    files = [fill(tmp_path / "one.jsonl", "a", "b"), fill(tmp_path / "two.jsonl", "c")]
    command: list[str | Path] = ["import", *files, "--org", "Acme", "--agent", "bot-{stem}"]

    first = invoke(dsn, *command)
    assert (first.exit_code, first.stderr) == (0, "")
    assert [row[-4:] for row in rows(first.stdout)[2:]] == [
        ["bot-one", "2", "2", "0"],
        ["bot-two", "1", "1", "0"],
        ["total", "3", "3", "0"],
    ]
    fill(files[1], "c", "d")
    again = invoke(dsn, *command)
    assert [row[-3:] for row in rows(again.stdout)[2:]] == [["2", "0", "2"], ["2", "1", "1"], ["4", "1", "3"]]
    assert asyncio.run(conversation(dsn, "Acme", "bot-one")) == ["a", "b"]
    assert asyncio.run(conversation(dsn, "Acme", "bot-two")) == ["c", "d"]
    assert asyncio.run(totals(dsn)) == (1, [2])


async def test_names_resolve_to_the_oldest_match(db: Database, dsn: str, tmp_path: Path) -> None:
    first, second = [await organizations.create(db, NewOrganization(name="twin")) for _ in range(2)]
    scope = db.tenant(first.id)
    oldest, newer = [await agents.create(scope, NewAgent(name="bot")) for _ in range(2)]
    await agents.update(scope, oldest.id, AgentChanges(topic="changed last"))

    code, _, err = run("--dsn", dsn, "import", fill(tmp_path / "f", "hi"), "--org", "twin", "--agent", "bot")

    assert (code, err) == (0, "")
    assert [await messages.count(scope, agent.id) for agent in (oldest, newer)] == [1, 0]
    assert await agents.count(db.tenant(second.id)) == 0


async def test_a_name_whose_rows_are_gone_gets_new_ones(db: Database, dsn: str, tmp_path: Path) -> None:
    """The ids that an import makes of names are taken then: by a deleted organization, by a renamed agent."""
    file = fill(tmp_path / "f", "hi")
    await store.store_file(db, "Acme", "bot", file)
    acme = await store.existing_organization(db, "Acme")
    bot = await store.existing_agent(db.tenant(acme.id), "bot")
    await agents.update(db.tenant(acme.id), bot.id, AgentChanges(name="renamed"))
    assert await store.store_file(db, "Acme", "bot", file) == (1, 1, 0)
    assert await store.store_file(db, "Acme", "renamed", file) == (1, 0, 1)

    await organizations.delete(db, acme.id)
    assert await store.store_file(db, "Acme", "bot", file) == (1, 1, 0)
    assert await store.store_file(db, "Acme", "bot", file) == (1, 0, 1)
    assert (await store.existing_organization(db, "Acme")).id != acme.id


async def test_imports_at_the_same_time_make_one_organization_and_one_agent(
    db: Database, dsn: str, tmp_path: Path
) -> None:
    files = [fill(tmp_path / f"{number}", f"from {number}") for number in range(4)]
    counts = await asyncio.gather(*(store.store_file(db, "Acme", "bot", file) for file in files))
    assert counts == [(1, 1, 0)] * 4
    assert await totals(dsn) == (1, [1])
    assert sorted(map(str, await conversation(dsn, "Acme", "bot"))) == [f"from {number}" for number in range(4)]


def test_a_bad_file_ends_the_import_and_leaves_what_was_stored_before(dsn: str, tmp_path: Path) -> None:
    good = fill(tmp_path / "good.jsonl", "a")
    bad = fill(tmp_path / "bad.jsonl", "b", {"role": "robot", "content": "x"})
    last = fill(tmp_path / "last.jsonl", "c")

    result = invoke(dsn, "import", good, bad, last, "--org", "Acme", "--agent", "{stem}")

    assert result.exit_code == 1
    assert result.stderr == f"error: {bad}:2: role: Input should be 'user', 'assistant', 'system' or 'tool'\n"
    assert [row[-4:] for row in rows(result.stdout)[2:]] == [["good", "1", "1", "0"]]
    assert asyncio.run(totals(dsn)) == (1, [1])


def test_a_bad_first_file_leaves_neither_organization_nor_agent(dsn: str, tmp_path: Path) -> None:
    bad = fill(tmp_path / "bad.jsonl", "b", b"not JSON")
    result = invoke(dsn, "import", bad, "--org", "Acme", "--agent", "bot")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {bad}:2: JSON: ")
    assert asyncio.run(totals(dsn)) == (0, [])


@pytest.mark.parametrize(("org", "agent"), [("", "bot"), ("Acme", ""), ("Acme", "x" * 256)])
def test_a_name_that_cannot_be_one_is_one_line(dsn: str, tmp_path: Path, org: str, agent: str) -> None:
    result = invoke(dsn, "import", fill(tmp_path / "f", "a"), "--org", org, "--agent", agent)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: name: String should have")
    assert asyncio.run(totals(dsn)) == (0, [])


def test_search_shows_the_best_first_on_one_line_each(dsn: str, tmp_path: Path) -> None:
    file = fill(
        tmp_path / "chat.jsonl",
        {"role": "user", "name": "Mei", "content": "I take my coffee black", "created_at": "2026-03-02T18:04:00Z"},
        {"role": "assistant", "content": "coffee black, coffee\nstrong \x1b[31m[bold]" + " and long" * 100},
        {"role": "user", "content": [{"type": "text", "text": "我喜欢喝绿茶"}, {"type": "image", "url": "x"}]},
        "the weather is fine",
    )
    invoke(dsn, "import", file, "--org", "Acme", "--agent", "bot")

    found = invoke(dsn, "search", "black coffee", "--agent", "bot")
    assert found.exit_code == 0
    lines = rows(found.stdout)[3:]
    assert len(lines) == 4, "two with the words, and what was said beside them"
    assert {tuple(line[1:4]) for line in lines if "Mei" in line} == {("2026-03-02", "18:04", "Mei")}
    assert "coffee strong [31m[bold] and long" in found.stdout
    assert "\x1b" not in found.stdout
    scores = [float(line[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)

    chinese = invoke(dsn, "search", "绿茶", "--agent", "bot", "--org", "Acme", "--limit", "1")
    assert "我喜欢喝绿茶" in chinese.stdout
    nothing = invoke(dsn, "search", "tea", "--agent", "bot")
    assert (nothing.exit_code, nothing.stdout) == (0, "nothing found\n")


def test_search_asks_for_the_organization_where_there_are_several(dsn: str, tmp_path: Path) -> None:
    for org in ("Acme", "Beta"):
        invoke(dsn, "import", fill(tmp_path / "f", f"coffee at {org}"), "--org", org, "--agent", "bot")
    unclear = invoke(dsn, "search", "coffee", "--agent", "bot")
    assert (unclear.exit_code, unclear.stderr) == (
        1,
        "error: there are several organizations; choose one with --org NAME\n",
    )
    assert "coffee at Beta" in invoke(dsn, "search", "coffee", "--agent", "bot", "--org", "Beta").stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--agent", "nobody"], "no such agent"),
        (["--agent", "bot", "--org", "Nowhere"], "no such organization"),
        (["--agent", "a\udc00b"], "name: contains half of a surrogate pair"),
    ],
    ids=["agent", "organization", "name"],
)
def test_search_where_nothing_is_says_so(dsn: str, tmp_path: Path, options: list[str], reason: str) -> None:
    invoke(dsn, "import", fill(tmp_path / "f", "coffee"), "--org", "Acme", "--agent", "bot")
    result = invoke(dsn, "search", "coffee", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_search_in_an_empty_database_says_what_to_do(dsn: str) -> None:
    result = invoke(dsn, "search", "coffee", "--agent", "bot")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: there is no such organization; import something first, or see --org\n",
    )


@pytest.mark.parametrize("args", [["--limit", "0"], ["--limit", "1001"], ["--limit", "many"], ["--size", "1"]])
def test_wrong_usage_is_exit_status_2(dsn: str, args: list[str]) -> None:
    result = invoke(dsn, "search", "coffee", "--agent", "bot", *args)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("command", [["search", "x", "--agent", "a"], ["import", "f", "--org", "o", "--agent", "a"]])
def test_a_database_that_is_not_migrated_says_what_to_run(empty_database: str, command: list[str]) -> None:
    result = invoke(empty_database, *command)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: not applied: core/0001_")
    assert result.stderr.endswith("run: agentmem-store migrate up\n")
    assert invoke(empty_database, "migrate", "status").exit_code == 1


async def test_a_database_of_a_newer_release_is_refused(dsn: str, tmp_path: Path) -> None:
    async with Database(dsn) as db, db.connection() as connection:
        await connection.execute(
            "INSERT INTO agentmem.schema_migrations (track, version, name, checksum, chain, duration_ms) "
            "VALUES ('core', 9999, 'later', repeat('0', 64), repeat('0', 64), 0)"
        )
    with pytest.raises(problems.MigrationNewer):
        async with store.opened(dsn):
            pass


@pytest.mark.parametrize("kind", ["parts", "text", "both", "nothing"])
def test_what_has_no_text_is_shown_by_its_parts(dsn: str, tmp_path: Path, kind: str) -> None:
    words: dict[str, Any] = {
        "parts": {"content": ["coffee", {"type": "text", "text": "beans"}, 5]},
        "text": {"text": "coffee beans"},
        "both": {"text": "coffee beans", "content": [{"text": "not shown"}]},
        "nothing": {"name": "coffee", "tool_calls": [{"name": "beans"}]},
    }
    invoke(dsn, "import", fill(tmp_path / "f", {"role": "user", **words[kind]}), "--org", "o", "--agent", "a")
    found = invoke(dsn, "search", "coffee", "--agent", "a")
    assert (found.exit_code, found.stderr) == (0, "")
    assert ("coffee beans" in found.stdout) == (kind != "nothing")
    assert "not shown" not in found.stdout
