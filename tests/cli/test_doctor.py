from __future__ import annotations

import asyncio
import json

import pytest

from tests.cli import invoke, run
from tests.servers import admin

NAMES = [
    "connection", "round_trip", "pooler", "server", "writable", "migrations", "capabilities", "connections",
    "long_transactions", "blocked", "replication", "vacuum", "indexes",
]  # fmt: skip


def test_all_is_well(dsn: str) -> None:
    told = invoke(dsn, "doctor")
    assert (told.exit_code, told.stderr) == (0, "")
    for name in NAMES:
        assert name in told.stdout
    assert "fail" not in told.stdout


def test_json_has_every_check(dsn: str) -> None:
    told = json.loads(invoke(dsn, "doctor", "--json").stdout)
    assert told["status"] == "ok"
    assert [check["name"] for check in told["checks"]] == NAMES
    assert {check["status"] for check in told["checks"]} == {"ok"}


def test_a_warning_is_exit_status_3(dsn: str) -> None:
    asyncio.run(admin(dsn, "CREATE TABLE agentmem.twice AS SELECT 1 AS number FROM generate_series(1, 2)"))
    with pytest.raises(Exception, match="duplicated"):
        asyncio.run(admin(dsn, "CREATE UNIQUE INDEX CONCURRENTLY twice_number ON agentmem.twice (number)"))
    told = invoke(dsn, "doctor")
    assert told.exit_code == 3
    assert "twice_number" in told.stdout


def test_a_failure_is_exit_status_1(empty_database: str) -> None:
    told = invoke(empty_database, "doctor")
    assert told.exit_code == 1
    assert "agentmem-store migrate up" in told.stdout


def test_a_server_that_is_not_there_is_a_failure_without_a_secret() -> None:
    told = invoke("postgresql://me:planted-secret@127.0.0.1:1/none", "doctor", "--json")
    assert told.exit_code == 1
    assert "planted-secret" not in told.output
    checks = json.loads(told.stdout)["checks"]
    assert [check["name"] for check in checks] == NAMES
    assert "127.0.0.1:1/none" in checks[0]["message"]


def test_the_settings_come_from_the_environment(dsn: str) -> None:
    code, out, err = run("doctor", "--json", AGENTMEM_DSN=dsn, AGENTMEM_MAX_SIZE="1000")
    (warned,) = [check for check in json.loads(out)["checks"] if check["status"] != "ok"]
    assert (code, err, warned["name"], warned["facts"]["wanted"]) == (3, "", "connections", 1000)


def test_wrong_usage_is_neither_a_warning_nor_a_failure(dsn: str) -> None:
    assert invoke(dsn, "doctor", "--timeout", "soon").exit_code == 2


def test_a_dsn_that_cannot_be_read_is_one_line() -> None:
    told = invoke("mysql://me@host/db", "doctor")
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (1, "", 1)
