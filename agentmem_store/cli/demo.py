"""The command ``demo``: the main job from end to end, on a conversation that is shipped with the package."""

from __future__ import annotations

import asyncio
import os
import shlex
from importlib import resources
from typing import TYPE_CHECKING, Final

import typer  # noqa: TC002 - typer reads annotations at run time

from agentmem_store.cli import output, store
from agentmem_store.repositories import messages

if TYPE_CHECKING:
    from agentmem_store.database import Database

__all__ = ["QUESTIONS", "demo"]

QUESTIONS: Final = (
    "What is Mei allergic to?",
    "Where and when is the half marathon?",
    "妈妈的生日是哪一天",
    "豆豆不能吃什么",
)
_ORG: Final = "Demo"
_AGENT: Final = "Ada"
_SAMPLE: Final = "sample/chat.jsonl"
_EMBEDDED: Final = "embedded:"


def demo(ctx: typer.Context) -> None:
    """Store a small conversation and search it: on the embedded server, whatever AGENTMEM_DSN says, or on --dsn.

    It migrates that database first. Safe to repeat: nothing is stored twice.
    """
    asyncio.run(_demo(ctx.obj or _EMBEDDED))
    _say_what_next(ctx.obj or (_EMBEDDED if os.environ.get("AGENTMEM_DSN") else None))


async def _demo(dsn: str) -> None:
    async with store.database(dsn) as db:
        if applied := await db.migrate():
            output.steps("applied", applied)
        with resources.as_file(resources.files("agentmem_store") / _SAMPLE) as path:
            counts = await store.store_file(db, _ORG, _AGENT, path)
        output.line(f"{counts.lines} messages of a sample conversation: {counts.stored} new, {counts.known} known\n")
        await _show(db)


async def _show(db: Database) -> None:
    scope = db.tenant((await store.existing_organization(db, _ORG)).id)
    agent = await store.existing_agent(scope, _AGENT)
    output.messages_table(f"The newest messages of {agent.name}", await messages.recent(scope, agent.id, limit=8))
    for question in QUESTIONS:
        output.line()
        output.hits_table(question, await messages.search(scope, agent.id, question, limit=3), in_full=True)


def _say_what_next(dsn: str | None) -> None:
    shown = dsn and (shlex.quote(dsn) if dsn.startswith(_EMBEDDED) else "DSN")  # any other may hold a password
    command = f"agentmem-store --dsn {shown}" if shown else "agentmem-store"
    output.line("\nWhat to try next:", style="bold")
    for rest in (
        f"search 'peanuts 花生' --agent {_AGENT} --org {_ORG}",
        "import chat.jsonl --agent NAME --org NAME",
        "migrate status",
        "--help",
    ):
        output.line(f"  {command} {rest}")
