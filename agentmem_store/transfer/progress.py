"""Telling a caller how far a long call has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Progress"]

_ROWS: Final = 1_000


class Progress:
    """Counts rows, and calls back every thousand and at the end.

    Args:
        call: takes the rows done and the rows to do; None for no one to tell.
        total: the rows to do, as far as they are known; never told as less than what is done.
    """

    def __init__(self, call: Callable[[int, int], None] | None, total: int) -> None:
        self._call = call
        self._total = total
        self._done = self._told = 0

    def add(self, rows: int) -> None:
        """Take note of rows that are done."""
        self._done += rows
        if self._done - self._told >= _ROWS:
            self.tell()

    def tell(self) -> None:
        """Call back now."""
        self._told = self._done
        if self._call is not None:
            self._call(self._done, max(self._done, self._total))
