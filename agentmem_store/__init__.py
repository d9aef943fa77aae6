"""Async, raw-SQL PostgreSQL store for the memory of AI agents.

::

    async with Database(dsn, PRODUCTION) as db:
        org = await organizations.create(db, NewOrganization(name="Acme"))
        scope = db.tenant(org.id)
        agent = await agents.create(scope, NewAgent(name="planner"))
        await messages.append(scope, agent.id, [NewMessage(role="user", text="I take my coffee black")])
        hits = await messages.search(scope, agent.id, "coffee")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentmem_store import context, errors, migrations, search
from agentmem_store.config import (
    DEFAULT,
    DEVELOPMENT,
    HIGH_PERFORMANCE,
    PRODUCTION,
    RETRY_AGGRESSIVE,
    RETRY_CONSERVATIVE,
    RETRY_DEFAULT,
    PoolConfig,
    RetryConfig,
)
from agentmem_store.database import Database, DatabaseStats
from agentmem_store.models.agents import Agent, AgentChanges, NewAgent
from agentmem_store.models.blocks import Block, BlockChanges, NewBlock
from agentmem_store.models.context import AgentDetails, Context
from agentmem_store.models.embeddings import Embedder, EmbeddingModel, Fusion
from agentmem_store.models.health import Health
from agentmem_store.models.memories import Memory, MemoryChanges, MemoryHit, MetadataFilter, NewMemory
from agentmem_store.models.messages import (
    Message,
    MessageChanges,
    MessageFilter,
    MessageHit,
    Neighbours,
    NewMessage,
)
from agentmem_store.models.organizations import NewOrganization, Organization, OrganizationChanges
from agentmem_store.models.tools import NewTool, Tool, ToolChanges
from agentmem_store.models.users import NewUser, User, UserChanges
from agentmem_store.page import Page
from agentmem_store.repositories import agents, blocks, embeddings, memories, messages, organizations, tools, users
from agentmem_store.repositories.changing import Edit
from agentmem_store.scope import Root, Scope
from agentmem_store.telemetry import QueryStats

if TYPE_CHECKING:
    from agentmem_store import analysis

__all__ = [
    "DEFAULT",
    "DEVELOPMENT",
    "HIGH_PERFORMANCE",
    "PRODUCTION",
    "RETRY_AGGRESSIVE",
    "RETRY_CONSERVATIVE",
    "RETRY_DEFAULT",
    "Agent",
    "AgentChanges",
    "AgentDetails",
    "Block",
    "BlockChanges",
    "Context",
    "Database",
    "DatabaseStats",
    "Edit",
    "Embedder",
    "EmbeddingModel",
    "Fusion",
    "Health",
    "Memory",
    "MemoryChanges",
    "MemoryHit",
    "Message",
    "MessageChanges",
    "MessageFilter",
    "MessageHit",
    "MetadataFilter",
    "Neighbours",
    "NewAgent",
    "NewBlock",
    "NewMemory",
    "NewMessage",
    "NewOrganization",
    "NewTool",
    "NewUser",
    "Organization",
    "OrganizationChanges",
    "Page",
    "PoolConfig",
    "QueryStats",
    "RetryConfig",
    "Root",
    "Scope",
    "Tool",
    "ToolChanges",
    "User",
    "UserChanges",
    "agents",
    "analysis",
    "blocks",
    "context",
    "embeddings",
    "errors",
    "memories",
    "messages",
    "migrations",
    "organizations",
    "search",
    "tools",
    "users",
]

if not TYPE_CHECKING:  # to a type checker it would be a module that has any name

    def __getattr__(name: str) -> Any:
        """Import `analysis` when it is first asked for: few processes do, and it is a quarter of the package."""
        if name != "analysis":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module("agentmem_store.analysis")
