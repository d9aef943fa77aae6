from __future__ import annotations

import asyncio
import json

from agentmem_store import connect, migrations
from tests.cli import invoke, run
from tests.servers import admin

NAMES = [f"{step.track}/{step.version:04d}_{step.name}" for step in migrations.discover(migrations.sql_root())]


async def applied(dsn: str) -> list[str]:
    connection = await connect.connect(dsn)
    try:
        rows = await connection.fetch("SELECT name FROM agentmem.schema_migrations ORDER BY version")
    finally:
        await connection.close()
    return [row["name"] for row in rows]


def test_up_applies_all_once_and_status_tells(empty_database: str) -> None:
    before = invoke(empty_database, "migrate", "status")
    assert before.exit_code == 1
    assert before.stdout.count("pending") == len(NAMES)

    up = invoke(empty_database, "migrate", "up")
    assert (up.exit_code, up.stdout.splitlines()) == (0, [f"applied {name}" for name in NAMES])

    after = invoke(empty_database, "migrate", "status")
    assert after.exit_code == 0
    assert all(name in after.stdout for name in NAMES)
    assert "pending" not in after.stdout
    assert invoke(empty_database, "migrate", "up").stdout == "nothing to do\n"
    assert invoke(empty_database, "migrate", "verify").exit_code == 0


def test_status_as_json(empty_database: str) -> None:
    before = invoke(empty_database, "migrate", "status", "--json")
    told = json.loads(before.stdout)
    assert (before.exit_code, told["at_head"], told["applied"], told["problems"]) == (1, False, [], [])
    assert [f"{step['track']}/{step['version']:04d}_{step['name']}" for step in told["pending"]] == NAMES

    invoke(empty_database, "migrate", "up")
    after = invoke(empty_database, "migrate", "status", "--json")
    told = json.loads(after.stdout)
    assert (after.exit_code, told["at_head"], told["pending"]) == (0, True, [])
    assert set(told["applied"][0]) == {
        "track", "version", "name", "checksum", "applied_at", "applied_by", "duration_ms",
    }  # fmt: skip


def test_down_takes_back_the_newest_or_as_many_as_asked(dsn: str) -> None:
    down = invoke(dsn, "migrate", "down")
    assert (down.exit_code, down.stdout) == (0, f"took back {NAMES[-1]}\n")
    assert invoke(dsn, "migrate", "status").exit_code == 1
    assert invoke(dsn, "migrate", "down", "--steps", "0").exit_code == 2
    all_of_them = invoke(dsn, "migrate", "down", "--steps", "99")
    assert all_of_them.stdout.splitlines() == [f"took back {name}" for name in NAMES[-2::-1]]
    assert invoke(dsn, "migrate", "down").stdout == "nothing to do\n"


def test_drift_is_a_problem_and_exit_status_1(dsn: str) -> None:
    edit = "UPDATE agentmem.schema_migrations SET checksum = repeat('0', 64) WHERE version = 2"
    asyncio.run(admin(dsn, edit))
    status = invoke(dsn, "migrate", "status")
    assert (status.exit_code, status.stderr) == (1, "")
    assert f"problem: {NAMES[1]}: its up.sql was edited" in status.stdout
    for command in ("verify", "up", "down"):
        result = invoke(dsn, "migrate", command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"error: {NAMES[1]}: its up.sql was edited")
        assert result.stderr.count("\n") == 1
    assert len(asyncio.run(applied(dsn))) == len(NAMES)


async def test_the_database_comes_from_the_environment_too(empty_database: str) -> None:
    code, _, err = run("migrate", "up", AGENTMEM_DSN=empty_database)
    assert (code, err) == (0, "")
    assert len(await applied(empty_database)) == len(NAMES)
