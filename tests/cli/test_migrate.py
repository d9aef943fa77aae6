from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from agentmem_store import connect, migrations
from agentmem_store.migrations import files
from tests.cli import invoke, run
from tests.migrations.planting import plant, three
from tests.migrations.test_backfilling import FILL
from tests.servers import admin

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [str(step) for step in migrations.discover(migrations.sql_root()) if step.track == "core"]


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
        "track", "version", "name", "checksum", "chain", "applied_at", "applied_by", "duration_ms", "unfinished",
        "statements", "begun",
    }  # fmt: skip


def test_down_takes_back_the_newest_or_as_many_as_asked(migrated: str) -> None:
    down = invoke(migrated, "migrate", "down")
    assert (down.exit_code, down.stdout) == (0, f"took back {NAMES[-1]}\n")
    assert invoke(migrated, "migrate", "status").exit_code == 1
    assert invoke(migrated, "migrate", "down", "--steps", "0").exit_code == 2
    all_of_them = invoke(migrated, "migrate", "down", "--steps", "99")
    assert all_of_them.stdout.splitlines() == [f"took back {name}" for name in NAMES[-2::-1]]
    assert invoke(migrated, "migrate", "down").stdout == "nothing to do\n"


def test_to_goes_up_and_down_to_a_number(empty_database: str) -> None:
    up = invoke(empty_database, "migrate", "to", "2")
    assert (up.exit_code, up.stdout.splitlines()) == (0, [f"applied {name}" for name in NAMES[:2]])
    down = invoke(empty_database, "migrate", "to", "1")
    assert (down.exit_code, down.stdout) == (0, f"took back {NAMES[1]}\n")
    assert invoke(empty_database, "migrate", "to", "1").stdout == "nothing to do\n"
    assert invoke(empty_database, "migrate", "to", "9999").stderr.startswith("error: version: must be a number")


def test_drift_is_a_problem_and_exit_status_1_and_repair_takes_it_for_meant(migrated: str) -> None:
    edit = "UPDATE agentmem.schema_migrations SET checksum = repeat('0', 64) WHERE version = 2"
    asyncio.run(admin(migrated, edit))
    status = invoke(migrated, "migrate", "status")
    assert (status.exit_code, status.stderr) == (1, "")
    assert f"problem: {NAMES[1]}: its up.sql was edited" in status.stdout
    (problem, *_) = json.loads(invoke(migrated, "migrate", "status", "--json").stdout)["problems"]
    assert problem["kind"] == "MigrationEdited"
    for command in ("verify", "up", "down"):
        result = invoke(migrated, "migrate", command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"error: {NAMES[1]}: its up.sql was edited")
        assert result.stderr.count("\n") == 1
    assert len(asyncio.run(applied(migrated))) == len(NAMES)
    assert invoke(migrated, "migrate", "repair", NAMES[1]).stdout == f"repaired {NAMES[1]}\n"
    assert invoke(migrated, "migrate", "verify").exit_code == 0


def test_verify_live_shows_each_object_that_is_other_than_the_files_make_it(migrated: str) -> None:
    well = invoke(migrated, "migrate", "verify", "--live")
    assert (well.exit_code, well.stdout.splitlines()[-1]) == (0, "and the live schema is what they make")
    asyncio.run(admin(migrated, "DROP INDEX agentmem.users_by_age"))
    other = invoke(migrated, "migrate", "verify", "--live")
    assert other.exit_code == 1
    assert other.stderr.splitlines()[1:] == ["missing: index agentmem.users_by_age"]


def test_plan_shows_locks_with_rows_and_whether_it_can_be_taken_back(migrated: str) -> None:
    assert invoke(migrated, "migrate", "plan").stdout == "nothing is pending\n"
    invoke(migrated, "migrate", "to", "8")
    plan = invoke(migrated, "migrate", "plan")
    assert plan.exit_code == 0
    assert plan.stdout.splitlines()[0] == f"{NAMES[8]}: can be taken back"
    assert "locks agentmem.users (about 0 rows): ACCESS EXCLUSIVE, reads and writes wait" in plan.stdout
    told = json.loads(invoke(migrated, "migrate", "plan", "--json").stdout)
    assert (told[0]["name"], told[0]["irreversible"]) == (NAMES[8], None)


def test_baseline_notes_what_is_there(migrated: str) -> None:
    asyncio.run(admin(migrated, "DELETE FROM agentmem.schema_migrations"))
    noted = invoke(migrated, "migrate", "baseline", str(len(NAMES)))
    assert (noted.exit_code, noted.stdout.splitlines()) == (0, [f"noted {name}" for name in NAMES])
    assert invoke(migrated, "migrate", "verify", "--live").exit_code == 0


@pytest.fixture
async def migrated(empty_database: str) -> str:
    """The DSN of a database with the shipped schema; of the server itself, as migrations need it."""
    await migrations.up(empty_database)
    return empty_database


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of migrations of its own, in place of the package's."""
    three(tmp_path)
    monkeypatch.setattr(files, "sql_root", lambda: tmp_path)
    return tmp_path


def test_a_failure_shows_the_line_and_a_caret_below_it(empty_database: str, own: Path) -> None:
    plant(own, "core/0004_d", "SELECT 1;\nALTER TABLE a ADD COLUMN x vectr;\n")
    up = invoke(empty_database, "migrate", "up")
    assert (up.exit_code, up.stdout.count("applied")) == (1, 3)
    error, line, caret = up.stderr.splitlines()
    assert error.startswith('error: core/0004_d/up.sql:2:28: type "vectr" does not exist')
    assert (line, caret) == ("    2 | ALTER TABLE a ADD COLUMN x vectr;", "      | " + " " * 27 + "^")


def test_a_file_that_stopped_half_way_is_shown(empty_database: str, own: Path) -> None:
    plant(own, "core/0004_d", "-- agentmem: no-transaction\nSELECT 1;\nDROP TABLE nowhere;\n")
    assert "1 of 2 statements are done and stay" in invoke(empty_database, "migrate", "up").stderr
    status = invoke(empty_database, "migrate", "status")
    assert "unfinished: core/0004_d/up.sql, 1 statements are done" in status.stdout
    assert status.exit_code == 1


def test_new_makes_a_folder_to_fill(own: Path) -> None:
    made = invoke("embedded:", "migrate", "new", "agents_by_topic", "--root", own)
    assert (made.exit_code, made.stdout) == (0, f"made {own}/core/0004_agents_by_topic\n")
    assert invoke("embedded:", "migrate", "new", "No", "--root", own).stderr.startswith("error: name: must be lower")


def test_a_backfill_tells_how_many_rows_are_done(empty_database: str, tmp_path: Path) -> None:
    asyncio.run(admin(empty_database, "CREATE TABLE numbers AS SELECT n AS id, n FROM generate_series(1, 95) AS n"))
    (tmp_path / "fill.sql").write_text(FILL.replace("times", "n"))
    fill = invoke(empty_database, "migrate", "backfill", "numbers", tmp_path / "fill.sql", "--size", "10")
    assert (fill.exit_code, fill.stdout) == (0, "numbers: 95 rows are done\n")


async def test_the_database_comes_from_the_environment_too(empty_database: str) -> None:
    code, _, err = run("migrate", "up", AGENTMEM_DSN=empty_database)
    assert (code, err) == (0, "")
    assert len(await applied(empty_database)) == len(NAMES)
