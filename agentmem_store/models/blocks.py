"""Blocks, the values they had, and what may be done to a value."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import pydantic
from pydantic import AfterValidator, Field, ValidationInfo
from uuid_utils.compat import uuid7

from agentmem_store.inputs import TEXT_LENGTH, Changes, Input, JsonObject, Label, Name, Text
from agentmem_store.models.base import JsonDict, Row

__all__ = ["Appending", "Block", "BlockChanges", "BlockValue", "NewBlock", "Replacing"]


def _within_limit(value: str, info: ValidationInfo) -> str:
    """Hold a value to the limit given with it. len() and the server's char_length() both count code points."""
    limit: int | None = info.data.get("limit")
    if limit is not None and len(value) > limit:
        raise ValueError(f"has {len(value)} characters, the block's limit is {limit}: shorten it or raise the limit")
    return value


Limit = Annotated[int, Field(ge=1, le=TEXT_LENGTH)]
Value = Annotated[Text, AfterValidator(_within_limit)]
Passage = Annotated[Text, Field(min_length=1)]


class Block(Row):
    """A labelled piece of core memory; agents that are linked to it share it.

    Attributes:
        user_id: the user it is about.
        label: what it holds, such as human or persona; not unique.
        value: its text.
        limit: how many characters `value` may have.
        description: what it is for.
        is_template: whether other blocks are made after it.
        template_name: the name of the template.
        metadata: the application's own.
    """

    user_id: UUID | None
    label: str
    value: str
    limit: int
    description: str | None
    is_template: bool
    template_name: str | None
    metadata: JsonDict


class NewBlock(Input):
    """A block to create. See `Block`."""

    id: UUID = Field(default_factory=uuid7)
    user_id: UUID | None = None
    label: Label
    limit: Limit = 2000
    value: Value = ""
    description: Text | None = None
    is_template: bool = False
    template_name: Name | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])


class BlockChanges(Changes):
    """Changes to a block: what is set is written, None as NULL. Whose it is stays."""

    label: Label = ""
    # Where it is not set, only the database knows the block's limit: the greatest one holds nothing up here.
    limit: Limit = TEXT_LENGTH
    value: Value = ""
    description: Text | None = None
    is_template: bool = False
    template_name: Name | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])


class Appending(Changes):
    """A text to put behind a block's value, and what separates the two where there is a value."""

    text: Passage
    separator: Text


class Replacing(Changes):
    """A passage of a block's value, and what to put in its place everywhere."""

    old: Passage
    new: Text


class BlockValue(pydantic.BaseModel):
    """A value that a block had.

    Attributes:
        block_id: the block.
        version: the last version of the block that had it.
        value: the text.
        undone_to: where an undo replaced it, the version whose value that put back; else None.
        replaced_at: when another took its place.
        replaced_by_id: who put it there.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    block_id: UUID
    version: int
    value: str
    undone_to: int | None
    replaced_at: datetime
    replaced_by_id: UUID | None
