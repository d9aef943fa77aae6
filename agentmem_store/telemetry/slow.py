"""What the slow log tells besides times: who called, and what kind of arguments went in; never a value."""

from __future__ import annotations

import inspect
from collections.abc import Sized
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["caller", "shape"]

# Between our frames and the caller's stand those of the libraries we are run by.
_NOT_THE_CALLER: Final = frozenset({"agentmem_store", "anyio", "asyncio", "contextlib", "tenacity", "uvloop"})

# bool before int, datetime before date: the first that fits.
_NAMES: Final[dict[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "float",
    UUID: "uuid",
    datetime: "timestamptz",
    date: "date",
    str: "text",
    bytes: "bytea",
}


def caller() -> str | None:
    """Return ``module:line`` of the first frame outside this library, or None when a task began within it.

    The frames of the coroutines that await one another stand on the stack while the innermost runs, so that nothing
    but the stack is needed.
    """
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "?"))
        if module.partition(".")[0] not in _NOT_THE_CALLER:
            return f"{module}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def shape(argument: object) -> str:
    """Describe an argument without its value: ``uuid``, ``text[412]`` (characters), ``uuid[][3]`` (elements)."""
    if argument is None:
        return "null"
    if isinstance(argument, list | tuple):
        return _array(cast("Sequence[object]", argument))
    name = next((name for kind, name in _NAMES.items() if isinstance(argument, kind)), type(argument).__name__)
    return f"{name}[{len(argument)}]" if isinstance(argument, Sized) else name


def _array(elements: Sequence[object]) -> str:
    first = next((element for element in elements if element is not None), None)
    return f"{shape(first).partition('[')[0]}[][{len(elements)}]"
