from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentmem_store import errors
from agentmem_store.config import (
    DEFAULT,
    DEVELOPMENT,
    HIGH_PERFORMANCE,
    PRODUCTION,
    PoolConfig,
    default_dsn,
    migration_dsn,
)
from agentmem_store.database import Database

ROOT = Path(__file__).parent.parent

# min, max, acquire timeout s, idle s, lifetime s, slow query ms: the numbers that were promised.
PROMISED = {
    "default": (DEFAULT, 2, 10, 30, 600, 1800, 100),
    "development": (DEVELOPMENT, 1, 5, 30, 600, 3600, 200),
    "production": (PRODUCTION, 5, 20, 10, 300, 1800, 50),
    "high_performance": (HIGH_PERFORMANCE, 10, 50, 5, 180, 900, 20),
}


@pytest.mark.parametrize("name", PROMISED)
def test_pool_config_presets(name: str) -> None:
    preset, *numbers = PROMISED[name]
    fields = ("min_size", "max_size", "acquire_timeout_s", "idle_timeout_s", "max_lifetime_s", "slow_query_ms")
    assert [getattr(preset, field) for field in fields] == numbers
    assert PoolConfig.preset(name) is preset


def test_a_preset_may_be_written_with_a_hyphen() -> None:
    assert PoolConfig.preset("high-performance") is HIGH_PERFORMANCE


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(errors.ConfigurationError, match="default, development, production, high_performance"):
        PoolConfig.preset("turbo")


def test_a_preset_is_varied_without_being_changed() -> None:
    assert PRODUCTION.with_(max_size=30).max_size == 30
    assert PRODUCTION.max_size == 20


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_size": 0}, "max_size"),
        ({"min_size": 30}, "min_size is above max_size"),
        ({"acquire_timeout_s": 0}, "acquire_timeout_s"),
        ({"bogus": 1}, "bogus"),
    ],
)
def test_a_setting_that_cannot_work_is_named(changes: dict[str, float], said: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=said):
        PRODUCTION.with_(**changes)


def test_the_dsn_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMEM_DSN", "postgresql://host/name")
    assert default_dsn() == "postgresql://host/name"
    monkeypatch.delenv("AGENTMEM_DSN")
    assert default_dsn() == "embedded:"


def test_the_dsn_for_migrations_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert migration_dsn() is None
    monkeypatch.setenv("AGENTMEM_MIGRATION_DSN", "postgresql://host/name")
    assert migration_dsn() == "postgresql://host/name"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMEM_PRESET", "high-performance")
    monkeypatch.setenv("AGENTMEM_MAX_SIZE", "12")
    monkeypatch.setenv("AGENTMEM_POOLER", "transaction")
    monkeypatch.setenv("AGENTMEM_PREPARED_STATEMENTS", "true")
    monkeypatch.setenv("AGENTMEM_SLOW_QUERIES", "memories.search=200, agents.get=1.5,")
    monkeypatch.setenv("AGENTMEM_MAX_WAITING", "")
    assert PoolConfig.from_environment(DEVELOPMENT) == HIGH_PERFORMANCE.with_(
        max_size=12,
        pooler="transaction",
        prepared_statements=True,
        slow_queries={"memories.search": 200, "agents.get": 1.5},
    )


def test_an_environment_without_variables_changes_nothing() -> None:
    assert PoolConfig.from_environment() == DEFAULT
    assert PoolConfig.from_environment(PRODUCTION) == PRODUCTION


@pytest.mark.parametrize("name", [field.upper() for field in PoolConfig.model_fields] + ["PRESET"])
def test_a_variable_that_cannot_be_used_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"AGENTMEM_{name}", "hunter2secret")
    with pytest.raises(errors.ConfigurationError, match=f"AGENTMEM_{name}: ") as caught:
        PoolConfig.from_environment()
    assert "hunter2secret" not in str(caught.value)


def test_settings_can_be_hashed_copied_and_sent_to_other_processes() -> None:
    config = PRODUCTION.with_(slow_queries={"agents.get": 5})
    assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
    assert len({config, config.with_(slow_queries={"agents.get": 5})}) == 1


def test_settings_cannot_be_changed_from_outside() -> None:
    given = {"agents.get": 5.0}
    config = PRODUCTION.with_(slow_queries=given)
    given["agents.get"] = 6.0
    assert config.slow_queries == {"agents.get": 5.0}
    assert not hasattr(config.slow_queries, "__setitem__")


@pytest.mark.parametrize(
    ("max_connections", "processes", "reserved", "sizes"),
    [(100, 4, 5, (2, 23)), (100, 1, 5, (2, 95)), (10, 5, 5, (1, 1)), (100, 4, 20, (2, 20))],
)
def test_sizes_that_fit_a_server(max_connections: int, processes: int, reserved: int, sizes: tuple[int, int]) -> None:
    config = PoolConfig.fit(max_connections, processes, reserved=reserved)
    assert (config.min_size, config.max_size) == sizes
    assert config.max_size * config.processes + reserved <= max_connections


def test_sizes_that_fit_keep_the_other_settings() -> None:
    assert PoolConfig.fit(30, 2, base=PRODUCTION) == PRODUCTION.with_(max_size=12, processes=2)


@pytest.mark.parametrize(("max_connections", "processes"), [(8, 4), (5, 1), (100, 0)])
def test_no_size_fits(max_connections: int, processes: int) -> None:
    with pytest.raises(errors.ConfigurationError, match="do not fit"):
        PoolConfig.fit(max_connections, processes)


@pytest.mark.own_sessions
async def test_opening_warns_of_pools_larger_than_the_server(db: Database, dsn: str) -> None:
    async with db.connection() as connection:
        room = int(await connection.fetchval("SHOW max_connections")) - int(
            await connection.fetchval("SHOW superuser_reserved_connections")
        )
    with capture_logs() as logs:
        async with Database(dsn, DEVELOPMENT.with_(max_size=room // 2, processes=2)):
            pass
        assert [log for log in logs if log["event"] == "agentmem.pool.oversized"] == []
        async with Database(dsn, DEVELOPMENT.with_(max_size=room // 2, processes=3)):
            pass
    assert [log for log in logs if log["event"] == "agentmem.pool.oversized"] == [
        {
            "event": "agentmem.pool.oversized",
            "log_level": "warning",
            "max_size": room // 2,
            "processes": 3,
            "room": room,
        }
    ]


def test_the_documented_presets_are_the_presets() -> None:
    """docs/performance.md has a row for each setting and a column for each preset."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    rows = [re.findall(r"[^|]+", line) for line in text.splitlines() if line.startswith("| `")]
    told = {row[0].strip(" `"): [cell.strip() for cell in row[1:5]] for row in rows}
    for field in PoolConfig.model_fields:
        presets = (DEFAULT, DEVELOPMENT, PRODUCTION, HIGH_PERFORMANCE)
        assert told[field] == [shown(getattr(preset, field)) for preset in presets], field


def shown(value: object) -> str:
    """How the table writes a setting."""
    if value is True:
        return "yes"
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:g}"
    return "" if value is None or not value else str(value)
