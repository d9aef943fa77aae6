from __future__ import annotations

import pytest

from agentmem_store import errors
from agentmem_store.config import DEFAULT, DEVELOPMENT, HIGH_PERFORMANCE, PRODUCTION, PoolConfig, default_dsn

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
