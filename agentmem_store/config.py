"""Settings: how many connections, how long to wait, when a statement counts as slow."""

from __future__ import annotations

import os
from typing import Annotated, Final, Self

import pydantic

from agentmem_store.errors import ConfigurationError

__all__ = [
    "DEFAULT",
    "DEVELOPMENT",
    "HIGH_PERFORMANCE",
    "PRODUCTION",
    "RETRY_AGGRESSIVE",
    "RETRY_CONSERVATIVE",
    "RETRY_DEFAULT",
    "PoolConfig",
    "RetryConfig",
    "default_dsn",
]

Seconds = Annotated[float, pydantic.Field(gt=0, le=86_400)]


class PoolConfig(pydantic.BaseModel):
    """How a pool behaves. Frozen; vary a preset with ``PRODUCTION.with_(max_size=30)``.

    Attributes:
        min_size: connections kept open, a floor restored in the background.
        max_size: connections open at most.
        acquire_timeout_s: seconds a caller waits for a connection before `PoolTimeout`.
        idle_timeout_s: seconds an idle connection above the floor is kept.
        max_lifetime_s: seconds after which a connection is replaced when it comes back.
        slow_query_ms: a statement that ran at least this many milliseconds is logged as ``agentmem.query.slow``.
        connect_timeout_s: seconds to make one connection.
        command_timeout_s: seconds one statement may take, on the client's clock.
        close_timeout_s: seconds `close` waits for lent connections before it ends them.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    min_size: Annotated[int, pydantic.Field(ge=0, le=10_000)] = 2
    max_size: Annotated[int, pydantic.Field(ge=1, le=10_000)] = 10
    acquire_timeout_s: Seconds = 30
    idle_timeout_s: Seconds = 600
    max_lifetime_s: Seconds = 1800
    slow_query_ms: Annotated[float, pydantic.Field(ge=0)] = 100
    connect_timeout_s: Seconds = 10
    command_timeout_s: Seconds = 60
    close_timeout_s: Seconds = 10

    @pydantic.model_validator(mode="after")
    def _floor_below_ceiling(self) -> Self:
        if self.min_size > self.max_size:
            raise ValueError("min_size is above max_size")
        return self

    def with_(self, **changes: float) -> PoolConfig:
        """Return a copy with some settings changed.

        Raises:
            ConfigurationError: a setting does not exist or is out of bounds.
        """
        try:
            return PoolConfig.model_validate({**self.model_dump(), **changes})
        except pydantic.ValidationError as error:
            raise ConfigurationError(_explain(error)) from None

    @staticmethod
    def preset(name: str) -> PoolConfig:
        """Return the preset of that name: default, development, production or high_performance.

        Raises:
            ConfigurationError: there is no such preset.
        """
        try:
            return _PRESETS[name.replace("-", "_")]
        except KeyError:
            raise ConfigurationError(f"no such preset; choose one of {', '.join(_PRESETS)}") from None


def _explain(error: pydantic.ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'PoolConfig'}: {e['msg']}" for e in found)


# The numbers are the ones the project was promised with; their differences are meant to fit one screen.
DEFAULT: Final = PoolConfig()
DEVELOPMENT: Final = PoolConfig(
    min_size=1, max_size=5, acquire_timeout_s=30, idle_timeout_s=600, max_lifetime_s=3600, slow_query_ms=200
)
PRODUCTION: Final = PoolConfig(
    min_size=5, max_size=20, acquire_timeout_s=10, idle_timeout_s=300, max_lifetime_s=1800, slow_query_ms=50
)
HIGH_PERFORMANCE: Final = PoolConfig(
    min_size=10, max_size=50, acquire_timeout_s=5, idle_timeout_s=180, max_lifetime_s=900, slow_query_ms=20
)

_PRESETS: Final[dict[str, PoolConfig]] = {
    "default": DEFAULT,
    "development": DEVELOPMENT,
    "production": PRODUCTION,
    "high_performance": HIGH_PERFORMANCE,
}


class RetryConfig(pydantic.BaseModel):
    """How often, and after how long, a whole transaction is run again.

    The wait before retry n (from 1) is a random part of ``min(max_ms, base_ms * factor ** (n - 1))``: full jitter,
    which keeps those who collided from colliding again. (Marc Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015.)

    Attributes:
        retries: how many times to try again after the first attempt.
        base_ms: the most milliseconds before the first retry.
        max_ms: the most milliseconds before any retry.
        factor: how much longer each wait may be than the one before.
        deadline_s: no retry starts later than this many seconds after the first attempt.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    retries: Annotated[int, pydantic.Field(ge=0, le=100)] = 3
    base_ms: Annotated[float, pydantic.Field(gt=0, le=60_000)] = 100
    max_ms: Annotated[float, pydantic.Field(gt=0, le=600_000)] = 2000
    factor: Annotated[float, pydantic.Field(ge=1, le=10)] = 2.0
    deadline_s: Seconds = 30

    def most_ms(self, retry: int) -> float:
        """Return the upper bound of the wait before a retry.

        Args:
            retry: which one, from 1.
        """
        return min(self.max_ms, self.base_ms * self.factor ** (retry - 1))


RETRY_DEFAULT: Final = RetryConfig()
RETRY_AGGRESSIVE: Final = RetryConfig(retries=5, base_ms=50, max_ms=1000, factor=1.5)
RETRY_CONSERVATIVE: Final = RetryConfig(retries=2, base_ms=200, max_ms=5000, factor=3.0)


def default_dsn() -> str:
    """Return the DSN of the command line: AGENTMEM_DSN, else the embedded server of this directory."""
    return os.environ.get("AGENTMEM_DSN") or "embedded:"
