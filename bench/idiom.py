"""The peer: asyncpg.Pool used as its manual shows, and a pydantic model for each row. Same schema, same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from agentmem_store.models.agents import Agent

if TYPE_CHECKING:
    import asyncpg

AGENT = """
    id, name, agent_type, description, system, topic, message_ids, metadata, llm_config, embedding_config,
    tool_rules, mcp_tools, version, created_at, updated_at, created_by_id, last_updated_by_id,
    is_deleted, deleted_at, deleted_by_id
"""
GET = f"SELECT {AGENT} FROM agentmem.agents WHERE organization_id = $1 AND id = $2 AND NOT is_deleted"
INSERT = f"INSERT INTO agentmem.agents (organization_id, id, name) VALUES ($1, $2, $3) RETURNING {AGENT}"
LIST = (
    f"SELECT {AGENT} FROM agentmem.agents WHERE organization_id = $1 AND NOT is_deleted "
    "ORDER BY created_at DESC, id DESC LIMIT $2"
)
REMEMBER = """
    INSERT INTO agentmem.memories (organization_id, id, agent_id, content, hash)
    VALUES ($1, $2, $3, $4, encode(sha256($4::text::bytea), 'hex'))
"""
SEARCH = """
    SELECT id, content FROM agentmem.memories
    WHERE organization_id = $1 AND agent_id = $2 AND NOT is_deleted
      AND to_tsvector('english', content) @@ plainto_tsquery('english', $3)
    LIMIT $4
"""

Pool = Any


async def create(pool: Pool, organization_id: UUID, name: str) -> Agent:
    async with pool.acquire() as connection:
        return _agent(await connection.fetchrow(INSERT, organization_id, uuid4(), name))


async def get(pool: Pool, organization_id: UUID, agent_id: UUID) -> Agent:
    async with pool.acquire() as connection:
        return _agent(await connection.fetchrow(GET, organization_id, agent_id))


async def list_agents(pool: Pool, organization_id: UUID, limit: int) -> list[Agent]:
    async with pool.acquire() as connection:
        return [_agent(row) for row in await connection.fetch(LIST, organization_id, limit)]


async def create_one_by_one(pool: Pool, organization_id: UUID, names: list[str]) -> None:
    """What Phase 1 calls a batch: a row at a time, each with a commit of its own."""
    for name in names:
        await create(pool, organization_id, name)


async def remember(pool: Pool, organization_id: UUID, agent_id: UUID, content: str) -> None:
    async with pool.acquire() as connection:
        await connection.execute(REMEMBER, organization_id, uuid4(), agent_id, content)


async def search(pool: Pool, organization_id: UUID, agent_id: UUID, query: str, limit: int) -> list[Any]:
    async with pool.acquire() as connection:
        rows: list[Any] = await connection.fetch(SEARCH, organization_id, agent_id, query, limit)
        return rows


def _agent(row: asyncpg.Record) -> Agent:
    return Agent.model_validate(dict(row))
