"""The schema as SQLAlchemy maps it. What is indexed for search is loaded with no row."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import FetchedValue, and_
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, TSVECTOR
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, foreign, mapped_column, relationship

__all__ = ["Agent", "Block", "BlockLink", "Memory", "Message", "MessageCounter", "Tool", "ToolLink"]


def _by_server() -> Any:
    return mapped_column(server_default=FetchedValue())


class _Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - as SQLAlchemy wants it
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[UUID]: ARRAY(PG_UUID),
    }


class _Row(_Base):
    """The columns that every row has."""

    __abstract__ = True
    __table_args__: Any = {"schema": "agentmem"}  # noqa: RUF012

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    extra: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=FetchedValue())
    version: Mapped[int] = _by_server()
    created_at: Mapped[datetime] = _by_server()
    updated_at: Mapped[datetime] = _by_server()
    created_by_id: Mapped[UUID | None]
    last_updated_by_id: Mapped[UUID | None]
    is_deleted: Mapped[bool] = _by_server()
    deleted_at: Mapped[datetime | None]
    deleted_by_id: Mapped[UUID | None]


class BlockLink(_Base):
    __tablename__ = "blocks_agents"
    __table_args__ = {"schema": "agentmem"}  # noqa: RUF012

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    agent_id: Mapped[UUID] = mapped_column(primary_key=True)
    block_id: Mapped[UUID] = mapped_column(primary_key=True)


class ToolLink(_Base):
    __tablename__ = "tools_agents"
    __table_args__ = {"schema": "agentmem"}  # noqa: RUF012

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    agent_id: Mapped[UUID] = mapped_column(primary_key=True)
    tool_id: Mapped[UUID] = mapped_column(primary_key=True)


class MessageCounter(_Base):
    __tablename__ = "message_counters"
    __table_args__ = {"schema": "agentmem"}  # noqa: RUF012

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    agent_id: Mapped[UUID] = mapped_column(primary_key=True)
    last_seq: Mapped[int]


class Block(_Row):
    __tablename__ = "blocks"

    user_id: Mapped[UUID | None]
    label: Mapped[str]
    value: Mapped[str] = _by_server()
    limit: Mapped[int] = _by_server()
    description: Mapped[str | None]
    is_template: Mapped[bool] = _by_server()
    template_name: Mapped[str | None]


class Tool(_Row):
    __tablename__ = "tools"

    name: Mapped[str]
    description: Mapped[str | None]
    json_schema: Mapped[dict[str, Any] | None]
    source_type: Mapped[str | None]
    source_code: Mapped[str | None]
    tags: Mapped[list[Any]] = _by_server()


class Agent(_Row):
    __tablename__ = "agents"

    name: Mapped[str | None]
    agent_type: Mapped[str | None]
    description: Mapped[str | None]
    system: Mapped[str | None]
    topic: Mapped[str | None]
    message_ids: Mapped[list[UUID]] = _by_server()
    llm_config: Mapped[dict[str, Any] | None]
    embedding_config: Mapped[dict[str, Any] | None]
    tool_rules: Mapped[list[Any] | None]
    mcp_tools: Mapped[list[Any] | None]

    blocks: Mapped[list[Block]] = relationship(
        secondary=BlockLink.__table__,
        primaryjoin=lambda: and_(
            Agent.organization_id == foreign(BlockLink.organization_id), Agent.id == foreign(BlockLink.agent_id)
        ),
        secondaryjoin=lambda: and_(
            Block.organization_id == foreign(BlockLink.organization_id), Block.id == foreign(BlockLink.block_id)
        ),
        viewonly=True,
    )
    tools: Mapped[list[Tool]] = relationship(
        secondary=ToolLink.__table__,
        primaryjoin=lambda: and_(
            Agent.organization_id == foreign(ToolLink.organization_id), Agent.id == foreign(ToolLink.agent_id)
        ),
        secondaryjoin=lambda: and_(
            Tool.organization_id == foreign(ToolLink.organization_id), Tool.id == foreign(ToolLink.tool_id)
        ),
        viewonly=True,
    )


class Message(_Row):
    __tablename__ = "messages"

    agent_id: Mapped[UUID]
    seq: Mapped[int]
    user_id: Mapped[UUID | None]
    group_id: Mapped[str | None]
    role: Mapped[str]
    name: Mapped[str | None]
    text: Mapped[str | None]
    content: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    model: Mapped[str | None]
    tool_calls: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    tool_call_id: Mapped[str | None]
    tool_returns: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    step_id: Mapped[str | None]
    otid: Mapped[str | None]
    sender_id: Mapped[str | None]
    token_count: Mapped[int | None]
    language: Mapped[str] = _by_server()


class Memory(_Row):
    __tablename__ = "memories"

    agent_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    content: Mapped[str]
    hash: Mapped[str]
    memory_type: Mapped[str] = _by_server()
    scope: Mapped[str] = _by_server()
    level: Mapped[str] = _by_server()
    importance: Mapped[float] = _by_server()
    score: Mapped[float | None]
    access_count: Mapped[int] = _by_server()
    last_accessed: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    language: Mapped[str] = _by_server()
    search: Mapped[Any] = mapped_column(TSVECTOR, FetchedValue(), deferred=True)
