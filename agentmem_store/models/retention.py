"""What the statements of a purge or an erasure say they did."""

from __future__ import annotations

from uuid import UUID

import pydantic

__all__ = ["Batch", "Forgotten", "Mentions", "OrganizationRest"]


class _Counted(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)


class Batch(_Counted):
    """A batch of rows to remove.

    Attributes:
        found: how many there were, up to the size of the batch.
        removed: how many of them were removed; the rest is locked by other transactions.
        term_frequencies: how many counts of words were removed because they are of these rows too.
    """

    found: int
    removed: int
    term_frequencies: int = 0


class Mentions(_Counted):
    """How many rows of a table name somebody, by column. A column that the table does not have was not counted."""

    id: int | None = None
    user_id: int | None = None
    agent_id: int | None = None
    sender_id: int | None = None
    message_ids: int | None = None
    created_by_id: int | None = None
    last_updated_by_id: int | None = None
    deleted_by_id: int | None = None
    replaced_by_id: int | None = None


class Forgotten(Mentions):
    """What a batch does not name any more, by column.

    Attributes:
        next_id: where the next batch begins; None when this was the last one.
        next_part: the second part of that, where a table's key has two.
    """

    next_id: UUID | None
    next_part: UUID | int | None = None


class OrganizationRest(_Counted):
    """How many rows each table still has of an organization."""

    organizations: int
    users: int
    agents: int
    message_counters: int
    messages: int
    blocks: int
    blocks_agents: int
    block_values: int
    tools: int
    tools_agents: int
    memories: int
    term_frequencies: int
