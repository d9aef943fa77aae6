"""`python -m bench.loop_worker asyncio|uvloop`: one event loop, asked for rounds by the question `loop`, by lines."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bench import peers
from bench.ground import Place, pool_config
from bench.loops import factory
from bench.seed import World
from bench.sizes import Size
from bench.timing import at_once, one_after_another

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.timing import Operation, Work

__all__ = ["works"]


def works(size: Size) -> dict[str, tuple[str, str, Callable[[Operation], Work]]]:
    """Return what is asked of a loop: by case, the peer, its operation, and how it is called."""
    one, many = partial(one_after_another, size.operations), partial(at_once, size.tasks)
    return {
        "get an agent": ("ours", "get", one),
        "append a message": ("ours", "append", one),
        f"{size.tasks} tasks, get": ("ours", "get", many),
        f"{size.tasks} tasks, append": ("ours", "append", many),
        f"{size.tasks} tasks, get, coalesced": ("coalesced", "get", many),
        f"{size.tasks} tasks, append, coalesced": ("coalesced", "append", many),
    }


async def _serve(given: dict[str, Any]) -> None:
    size = Size(**given["size"])
    place = Place(given["dsn"], World(**{name: _ids(value) for name, value in given["world"].items()}))
    config = pool_config(size)
    async with peers.opened("ours", place, config) as ours, peers.opened("coalesced", place, config) as coalesced:
        opened = {"ours": ours, "coalesced": coalesced}
        rounds = {case: work(getattr(opened[peer], name)) for case, (peer, name, work) in works(size).items()}
        print("ready", flush=True)
        while case := (await asyncio.to_thread(sys.stdin.readline)).rstrip("\n"):
            print(json.dumps(await rounds[case]()), flush=True)


def _ids(value: str | list[str]) -> Any:
    return UUID(value) if isinstance(value, str) else tuple(map(UUID, value))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=factory(sys.argv[1])) as runner:
        runner.run(_serve(json.loads(sys.stdin.readline())))
