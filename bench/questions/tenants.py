"""Whether it costs anything that tenants take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem_store import NewMessage, agents, messages
from bench import seed
from bench.case import Case
from bench.peers.ours import TEXT
from bench.timing import one_after_another

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from agentmem_store import Agent, Database, Message
    from bench.ground import Ground
    from bench.timing import Operation

__all__ = ["tenants"]


async def tenants(ground: Ground) -> AsyncGenerator[Case]:
    """Do get and append take longer when many tenants take turns?"""
    async with ground.place() as place, place.open(ground.config) as db:
        async with place.connection() as connection:
            owners = await seed.add_others(connection, max(ground.size.tenants), ground.size.rows_each)
            await seed.settle(connection)
        for name, operation in (("get", _getting), ("append", _appending)):
            works = {
                f"{count:,} tenant{'s' if count > 1 else ''}": one_after_another(
                    ground.size.operations, operation(db, owners[:count])
                )
                for count in ground.size.tenants
            }
            yield Case(name, works)


def _getting(db: Database, owners: list[tuple[UUID, UUID]]) -> Operation:
    async def get(n: int) -> Agent:
        organization_id, agent_id = owners[n % len(owners)]
        return await agents.get(db.tenant(organization_id), agent_id)

    return get


def _appending(db: Database, owners: list[tuple[UUID, UUID]]) -> Operation:
    async def append(n: int) -> list[Message]:
        organization_id, agent_id = owners[n % len(owners)]
        return await messages.append(db.tenant(organization_id), agent_id, [NewMessage(role="user", text=TEXT)])

    return append
