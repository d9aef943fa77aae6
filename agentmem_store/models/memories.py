"""Memories."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, cast
from uuid import UUID

import pydantic
from pydantic import AfterValidator, Field
from uuid_utils.compat import uuid7

from agentmem_store.inputs import Changes, Input, JsonObject, Label, Text, Time, json_text
from agentmem_store.models.base import JsonDict, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CopyDefaults",
    "DedupedMemory",
    "Memory",
    "MemoryChanges",
    "MemoryHit",
    "MetadataFilter",
    "NewMemory",
    "RankedMemory",
    "content_hash",
]

_RANGE_ENDS: Final = 2


def content_hash(content: str) -> str:
    """Return the SHA-256 of a content's UTF-8 bytes, as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(content.encode()).hexdigest()


def _check_choices(any_of: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(choices, list | tuple) for choices in any_of.values()):
        raise ValueError("must give a list of values for each key")
    return any_of


def _check_ranges(ranges: dict[str, Any]) -> dict[str, Any]:
    if not all(_is_range(ends) for ends in ranges.values()):
        raise ValueError("must give each key a pair (low, high) of numbers or of strings, of which one may be None")
    return ranges


def _is_range(ends: Any) -> bool:
    if not isinstance(ends, list | tuple):
        return False
    ends = cast("Sequence[Any]", ends)
    given = [end for end in ends if end is not None]
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in given)
    return len(ends) == _RANGE_ENDS and bool(given) and (numbers or all(isinstance(end, str) for end in given))


Content = Annotated[Text, Field(min_length=1)]
Importance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Score = Annotated[float, Field(allow_inf_nan=False)]
Choices = Annotated[JsonObject, AfterValidator(_check_choices)]
Ranges = Annotated[JsonObject, AfterValidator(_check_ranges)]


class Memory(Row):
    """Something that is kept.

    Attributes:
        agent_id: the agent that keeps it; hidden with it.
        user_id: the user it is about; hidden with them.
        content: what is kept.
        hash: SHA-256 of the content's UTF-8 bytes, in hexadecimal. Not unique.
        memory_type: episodic, semantic, procedural, working, core, resource, knowledge, contextual, or your own.
        scope: global, agent, user, session, or your own.
        level: strategic, tactical, operational, contextual, short_term, long_term, or your own.
        importance: 0 to 1.
        score: the application's own measure.
        access_count: how often `touch` was told of it.
        last_accessed: when `touch` was last told of it.
        expires_at: from when on it is invisible; None for never.
        language: how its content is stemmed for search; the organization's when it was stored.
        metadata: the application's own.
    """

    agent_id: UUID | None
    user_id: UUID | None
    content: str
    hash: str
    memory_type: str
    scope: str
    level: str
    importance: float
    score: float | None
    access_count: int
    last_accessed: datetime | None
    expires_at: datetime | None
    language: str
    metadata: JsonDict


class NewMemory(Input):
    """A memory to keep. See `Memory`; `created_at` is when it came about, by default the time of storing."""

    id: UUID = Field(default_factory=uuid7)
    content: Content
    agent_id: UUID | None = None
    user_id: UUID | None = None
    memory_type: Label = "semantic"
    scope: Label = "agent"
    level: Label = "operational"
    importance: Importance = 0.0
    score: Score | None = None
    expires_at: Time | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    created_at: Time | None = None


class MemoryChanges(Changes):
    """Changes to a memory: what is set is written, None as NULL. Whose it is stays; `touch` counts accesses."""

    content: Content = ""
    memory_type: Label = ""
    scope: Label = ""
    level: Label = ""
    importance: Importance = 0.0
    score: Score | None = None
    expires_at: Time | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])

    def patch(self) -> str:
        """Return what was set, as the JSON object that the UPDATE statement reads; a content brings its hash."""
        values = self.model_dump(include=self.model_fields_set, mode="json")
        if "content" in values:
            values["hash"] = content_hash(self.content)
        return json_text(values)


class MetadataFilter(Input):
    """Which metadata a memory must have. All that is given must hold; what is left out asks nothing.

    Numbers compare as numbers (10 is more than 9, and 1 equals 1.0), strings as the database sorts them, and a string
    is never equal to a number.

    Attributes:
        contains: what the metadata must contain, nested objects and lists included.
        exists: keys it must have, at the top.
        any_of: for a key at the top, the values of which it must equal one.
        ranges: for a key at the top, the lowest and the highest value, both included: two numbers, or two strings
            such as ISO dates; None leaves one side open. A key with a value of the other kind does not match.
    """

    contains: JsonObject = Field(default_factory=dict[str, Any])
    exists: list[Text] = Field(default_factory=list[str])
    any_of: Choices = Field(default_factory=dict[str, Any])
    ranges: Ranges = Field(default_factory=dict[str, Any])


class MemoryHit(pydantic.BaseModel):
    """A memory that a search found.

    Attributes:
        memory: the memory.
        score: how well it answers; higher is better, comparable within one search only.
        parts: what the score is the sum of: `text`; of a search with an embedding also `vector`, `importance` and
            `recency`.
        highlights: where the words asked for stand: under `content`, as (start, end) in characters; empty if not
            asked for.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    memory: Memory
    score: float
    parts: dict[str, float]
    highlights: dict[str, list[tuple[int, int]]] = Field(default_factory=dict[str, list[tuple[int, int]]])


class _BesideMemory(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    memory: Memory

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_columns(cls, record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "memory": record}


class RankedMemory(_BesideMemory):
    """The row of a search: a memory, how well it answers, and with an embedding what that is the sum of."""

    rank: float
    of_text: float | None = None
    of_vector: float | None = None
    of_importance: float | None = None
    of_recency: float | None = None

    def hit(self) -> MemoryHit:
        """Return it as a search does."""
        parts = {
            "text": self.of_text,
            "vector": self.of_vector,
            "importance": self.of_importance,
            "recency": self.of_recency,
        }
        known = {name: part for name, part in parts.items() if part is not None}
        return MemoryHit(memory=self.memory, score=self.rank, parts=known or {"text": self.rank})


class DedupedMemory(_BesideMemory):
    """The row of `create_or_get`: a memory, and whether it is new."""

    created: bool


class CopyDefaults(pydantic.BaseModel):
    """What the server would fill in: a COPY has to bring it along.

    Attributes:
        language: the organization's.
        now: the time of the transaction.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    language: str
    now: datetime
