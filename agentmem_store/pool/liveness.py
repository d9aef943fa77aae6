"""Whether connections live, and the rounds in which idle ones are looked after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem_store.config import PoolConfig
    from agentmem_store.connect import Connection

__all__ = ["Rounds", "answers"]

# A live server answers within a round trip. One that is slower than this is replaced; that costs a connect.
_PING_TIMEOUT_S: Final = 0.5

_SHORTEST_ROUND_S: Final = 0.02
_LONGEST_ROUND_S: Final = 5.0


async def answers(connection: Connection) -> bool:
    """Ask the server for nothing, and return whether it answered in time."""
    try:
        await connection.execute("SELECT 1", timeout=_PING_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - whatever went wrong, it did not answer
        return False
    return True


class Rounds:
    """Calls a function at intervals that fit the shortest of a pool's times.

    Args:
        config: the times.
        look_after: called in each round.
    """

    def __init__(self, config: PoolConfig, look_after: Callable[[], None]) -> None:
        times = [config.keepalive_s, config.idle_timeout_s, config.max_lifetime_s, config.leak_after_s or 3600.0]
        self._every_s = min(max(min(times) / 4, _SHORTEST_ROUND_S), _LONGEST_ROUND_S)
        self._look_after = look_after
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Go on rounds until stopped."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._go)

    def stop(self) -> None:
        """Go on no more rounds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go(self) -> None:
        self.start()
        self._look_after()
