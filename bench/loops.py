"""The event loops that there are to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["factory"]


def factory(name: str) -> type[asyncio.AbstractEventLoop] | None:
    """Return what makes an event loop, for `asyncio.Runner`: that of `uvloop`, or None for asyncio's own."""
    if name != "uvloop":
        return None
    import uvloop

    loop: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return loop
