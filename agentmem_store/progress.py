"""Telling a caller how far a long call has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Progress"]

_ROWS: Final = 1_000


class Progress:
    """Counts rows, or what else there is to do, and calls back now and then and at the end.

    Args:
        call: takes what is done and what is to do; None for no one to tell.
        total: what is to do, as far as it is known; never told as less than what is done.
        every: after how many to call.
    """

    def __init__(self, call: Callable[[int, int], None] | None, total: int, *, every: int = _ROWS) -> None:
        self._call = call
        self._total = total
        self._every = every
        self._done = self._told = 0

    def add(self, done: int) -> None:
        """Take note of so many that are done."""
        self._done += done
        if self._done - self._told >= self._every:
            self.tell()

    def tell(self) -> None:
        """Call back now."""
        self._told = self._done
        if self._call is not None:
            self._call(self._done, max(self._done, self._total))
