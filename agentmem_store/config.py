"""Settings: how many connections, how long to wait, when a statement counts as slow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

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
    "migration_dsn",
]

Seconds = Annotated[float, pydantic.Field(gt=0, le=86_400)]
Milliseconds = Annotated[float, pydantic.Field(ge=0)]
Connections = Annotated[int, pydantic.Field(ge=1, le=10_000)]


# At a millisecond a statement, a second's work. A queue is no harm while those in it are served in time, and who is not
# gets a PoolTimeout: the end of it only keeps callers who never stop coming from using up the memory.
_WAITING_PER_CONNECTION: Final = 1000


class ByName(Mapping[str, float]):
    """Numbers by name that cannot be changed, so that settings can be shared, hashed and sent to other processes."""

    def __init__(self, numbers: Mapping[str, float]) -> None:
        self._numbers = dict(numbers)

    def __getitem__(self, name: str) -> float:
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __hash__(self) -> int:
        return hash(frozenset(self._numbers.items()))

    def __repr__(self) -> str:
        return repr(self._numbers)


def _from_text(given: Any) -> Any:
    """Read ``name=200,other=50``, as a variable of the environment has it."""
    if not isinstance(given, str):
        return given
    entries = (entry.partition("=") for entry in given.split(",") if entry.strip())
    return {name.strip(): number.strip() for name, _, number in entries}


ByQuery = Annotated[
    Mapping[str, Milliseconds],
    pydantic.BeforeValidator(_from_text),
    pydantic.AfterValidator(ByName),
    pydantic.PlainSerializer(dict),
]


class PoolConfig(pydantic.BaseModel):
    """How a pool behaves. Frozen; vary a preset with ``PRODUCTION.with_(max_size=30)``.

    Attributes:
        min_size: connections kept open, a floor restored in the background.
        max_size: connections open at most.
        acquire_timeout_s: seconds a caller waits for a connection before `PoolTimeout`.
        idle_timeout_s: seconds an idle connection above the floor is kept.
        max_lifetime_s: seconds after which a connection is replaced when it comes back.
        slow_query_ms: a statement that ran at least this many milliseconds is logged as ``agentmem.query.slow``.
        slow_queries: the same for single queries by their name, such as ``{"memories.search": 200}``.
        connect_timeout_s: seconds to make one connection, all hosts of its DSN together.
        command_timeout_s: seconds one statement may take, on the client's clock.
        cancel_timeout_s: seconds a cancelled or late statement is given to end, before its connection is ended.
        reset_timeout_s: seconds to clean a session that a borrower changed, before its connection is ended.
        close_timeout_s: seconds `close` waits for lent connections before it ends them.
        ping_after_s: a connection idle for longer than these seconds is asked whether it lives before it is lent.
        keepalive_s: idle connections are asked whether they live every so many seconds.
        leak_after_s: a connection lent for longer than these seconds is logged with its holder; None: never.
        max_waiting: callers in the queue at most, the next is refused at once; None: a thousand times `max_size`.
        processes: how many processes open such a pool, for the check against the server's ``max_connections``.
        coalesce: whether concurrent gets, appends and creates of one tenant share statements.
        pooler: ``transaction`` where PgBouncer or its like stands before the server: no state is kept in sessions.
        prepared_statements: whether statements stay prepared; None: unless there is a pooler. True through one that
            keeps them for its clients (PgBouncer from 1.21, with its max_prepared_statements above 0).
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", defer_build=True)

    min_size: Annotated[int, pydantic.Field(ge=0, le=10_000)] = 2
    max_size: Connections = 10
    acquire_timeout_s: Seconds = 30
    idle_timeout_s: Seconds = 600
    max_lifetime_s: Seconds = 1800
    slow_query_ms: Milliseconds = 100
    slow_queries: ByQuery = ByName({})
    connect_timeout_s: Seconds = 10
    command_timeout_s: Seconds = 60
    cancel_timeout_s: Seconds = 1
    reset_timeout_s: Seconds = 2
    close_timeout_s: Seconds = 10
    ping_after_s: Seconds = 1
    keepalive_s: Seconds = 60
    leak_after_s: Seconds | None = None
    max_waiting: Annotated[int, pydantic.Field(ge=0)] | None = None
    processes: Annotated[int, pydantic.Field(ge=1)] = 1
    coalesce: bool = False
    pooler: Literal["transaction"] | None = None
    prepared_statements: bool | None = None

    @pydantic.model_validator(mode="after")
    def _floor_below_ceiling(self) -> Self:
        if self.min_size > self.max_size:
            raise ValueError("min_size is above max_size")
        return self

    @property
    def waiting_at_most(self) -> int:
        """How many callers may wait: `max_waiting`, or what follows from `max_size`."""
        return _WAITING_PER_CONNECTION * self.max_size if self.max_waiting is None else self.max_waiting

    def with_(self, **changes: Any) -> PoolConfig:
        """Return a copy with some settings changed.

        Raises:
            ConfigurationError: a setting does not exist or is out of bounds.
        """
        try:
            return PoolConfig.model_validate({**dict(self), **changes})
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

    @staticmethod
    def fit(max_connections: int, processes: int, *, reserved: int = 5, base: PoolConfig | None = None) -> PoolConfig:
        """Work out the sizes with which the pools of several processes use what a server has, and no more.

        A pool larger than some multiple of the server's cores is not faster; take less with ``with_(max_size=…)``.

        Args:
            max_connections: the server's setting of that name.
            processes: how many processes open such a pool, at least 1.
            reserved: connections left to others: by default the server's own 3 for superusers, one for a migration
                and one for a look with psql.
            base: where the other settings come from; by default `DEFAULT`.

        Returns:
            the base with `max_size`, `processes`, and a `min_size` no larger than that.

        Raises:
            ConfigurationError: not even one connection is left for each process.
        """
        share = (max_connections - reserved) // max(processes, 1)
        if share < 1 or processes < 1:
            raise ConfigurationError(
                f"{max_connections} connections, {reserved} of them reserved, do not fit {processes} processes: "
                "raise the server's max_connections, or put a pooler before it"
            )
        base = base or DEFAULT
        return base.with_(min_size=min(base.min_size, share), max_size=share, processes=processes)

    @classmethod
    def from_environment(cls, base: PoolConfig | None = None) -> PoolConfig:
        """Read the variables ``AGENTMEM_MAX_SIZE``, ``AGENTMEM_POOLER`` and so on: AGENTMEM_ and a setting's name.

        ``AGENTMEM_PRESET`` names the preset that gives the others. ``AGENTMEM_SLOW_QUERIES`` is written
        ``memories.search=200,agents.get=10``. An empty variable counts as missing.

        Args:
            base: where settings without a variable come from if AGENTMEM_PRESET is not set; by default `DEFAULT`.

        Raises:
            ConfigurationError: a variable cannot be used; it is named, its value is not.
        """
        names = {f"{_PREFIX}{field.upper()}": field for field in cls.model_fields}
        changes = {field: value for name, field in names.items() if (value := os.environ.get(name))}
        try:
            preset = os.environ.get(f"{_PREFIX}PRESET")
            return cls.model_validate({**dict(cls.preset(preset) if preset else base or DEFAULT), **changes})
        except pydantic.ValidationError as error:
            raise ConfigurationError(_explain(error, of_environment=True)) from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{_PREFIX}PRESET: {error}") from None


_PREFIX: Final = "AGENTMEM_"


def _explain(error: pydantic.ValidationError, *, of_environment: bool = False) -> str:
    """Say which settings are wrong, and how; never a value, nor a name that was made up in one."""
    found = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{_place(each['loc'], of_environment)}: {each['msg']}" for each in found)


def _place(location: tuple[int | str, ...], of_environment: bool) -> str:
    if of_environment:
        return f"{_PREFIX}{str(location[0]).upper()}" if location else f"{_PREFIX}…"
    return ".".join(map(str, location)) or "PoolConfig"


# The numbers are the ones the project was promised with; their differences are meant to fit one screen.
# Constructed, not checked: importing this would build the validators, which takes as long as a third of the rest.
DEFAULT: Final = PoolConfig.model_construct()
DEVELOPMENT: Final = PoolConfig.model_construct(
    min_size=1, max_size=5, acquire_timeout_s=30, idle_timeout_s=600, max_lifetime_s=3600, slow_query_ms=200,
    leak_after_s=5,
)  # fmt: skip
PRODUCTION: Final = PoolConfig.model_construct(
    min_size=5, max_size=20, acquire_timeout_s=10, idle_timeout_s=300, max_lifetime_s=1800, slow_query_ms=50,
    leak_after_s=60,
)  # fmt: skip
HIGH_PERFORMANCE: Final = PoolConfig.model_construct(
    min_size=10, max_size=50, acquire_timeout_s=5, idle_timeout_s=180, max_lifetime_s=900, slow_query_ms=20,
    leak_after_s=60, coalesce=True,
)  # fmt: skip

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

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", defer_build=True)

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


RETRY_DEFAULT: Final = RetryConfig.model_construct()
RETRY_AGGRESSIVE: Final = RetryConfig.model_construct(retries=5, base_ms=50, max_ms=1000, factor=1.5)
RETRY_CONSERVATIVE: Final = RetryConfig.model_construct(retries=2, base_ms=200, max_ms=5000, factor=3.0)


def default_dsn() -> str:
    """Return the DSN of the command line: AGENTMEM_DSN, else the embedded server of this directory."""
    return os.environ.get("AGENTMEM_DSN") or "embedded:"


def migration_dsn() -> str | None:
    """Return AGENTMEM_MIGRATION_DSN: where migrations connect, if not where AGENTMEM_DSN says."""
    return os.environ.get("AGENTMEM_MIGRATION_DSN") or None
