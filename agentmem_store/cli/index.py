"""The commands ``index refresh`` and ``index language``."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

import typer

from agentmem_store import search
from agentmem_store.cli import output, store

__all__ = ["app"]

app = typer.Typer(help="Keep searches in shape.", no_args_is_help=True)

_Org = Annotated[str | None, typer.Option(metavar="NAME", help="The organization. Default: the only one.")]


@app.command()
def refresh(
    ctx: typer.Context,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Only this agent. Default: each agent.")] = None,
    org: _Org = None,
    hours: Annotated[
        float, typer.Option(min=0, max=8_760_000, help="Pass over agents whose words were counted since.")
    ] = 0,
) -> None:
    """Count anew which words are common: searches of large agents are faster for it. After a bulk load, and at night.

    Of several organizations or agents of a name the oldest is meant. It can be stopped anywhere; --hours 1, say, then
    resumes it.
    """
    if agent is not None:
        words = asyncio.run(_refresh_one(store.dsn_of(ctx), org, agent))
        output.line(f"counted {words:,} common words of {agent}" if words else f"{agent} is small: nothing to count")
        return
    done = asyncio.run(_refresh_all(store.dsn_of(ctx), org, timedelta(hours=hours)))
    rest = "the others are small, or were counted lately"
    output.line(f"counted the words of {done.refreshed:,} of {done.agents:,} agents; {rest}")


async def _refresh_one(dsn: str, org: str | None, agent: str) -> int:
    async with store.opened(dsn) as db:
        scope = db.tenant((await store.existing_organization(db, org)).id)
        return await search.refresh(scope, (await store.existing_agent(scope, agent)).id)


async def _refresh_all(dsn: str, org: str | None, age: timedelta) -> search.RefreshReport:
    async with store.opened(dsn) as db:
        organization = await store.existing_organization(db, org)
        with output.counting_bar(organization.name) as on_progress:
            return await search.refresh_stale(db.tenant(organization.id), older_than=age, on_progress=on_progress)


@app.command()
def language(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="LANGUAGE", help="Such as english; simple for words as written.")],
    org: _Org = None,
) -> None:
    """Set the language by which an organization's texts are stemmed, and index them anew while others go on working.

    It can be stopped anywhere; run again, it goes on with what is left.
    """
    done = asyncio.run(_language(store.dsn_of(ctx), org, name))
    stemmed = "" if name in search.LANGUAGES else "; no stemmer has this name, so words are matched as written"
    output.line(f"indexed {done.messages:,} messages and {done.memories:,} memories anew as {name}{stemmed}")


async def _language(dsn: str, org: str | None, name: str) -> search.LanguageReport:
    async with store.opened(dsn) as db:
        organization = await store.existing_organization(db, org)
        with output.counting_bar(organization.name) as on_progress:
            return await search.set_language(db.tenant(organization.id), name, on_progress=on_progress)
