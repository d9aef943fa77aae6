"""What a question yields to have it measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from bench.ground import Ground
    from bench.timing import Work

    Question = Callable[[Ground], AsyncGenerator["Case", None]]

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        name: what is done.
        contenders: by name, each way of doing it; they run in turn.
        at: how large it is, where a question asks for several sizes.
    """

    name: str
    contenders: Mapping[str, Work]
    at: float | None = None
