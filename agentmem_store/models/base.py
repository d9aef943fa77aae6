"""What every row has, and how a JSON column becomes Python."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import pydantic
import pydantic_core
from pydantic import BeforeValidator

__all__ = ["JsonDict", "JsonItems", "JsonStrings", "Refusal", "Row"]


def _decode(value: Any) -> Any:
    """Decode a JSON column. It travels as text, so that no statement depends on a codec set on the connection."""
    return pydantic_core.from_json(value) if isinstance(value, str) else value


JsonDict = Annotated[dict[str, Any], BeforeValidator(_decode)]
JsonItems = Annotated[list[Any], BeforeValidator(_decode)]
JsonStrings = Annotated[list[str], BeforeValidator(_decode)]


class Row(pydantic.BaseModel):
    """A stored row, frozen.

    Attributes:
        id: unique within the organization; a UUIDv7 unless the caller chose another.
        version: 1 when created, one more with each change; for `expected_version`.
        created_at: when it was created, or said.
        updated_at: when it was last changed. Reading, counting and linking do not change it.
        created_by_id: who created it.
        last_updated_by_id: who last changed it.
        is_deleted: whether it is softly deleted; seen only on what `delete` returns.
        deleted_at: when it was deleted.
        deleted_by_id: who deleted it.
    """

    # Building the validators takes more time than all of importing; each is built when it is first used.
    model_config = pydantic.ConfigDict(frozen=True, defer_build=True, hide_input_in_errors=True)

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    created_by_id: UUID | None
    last_updated_by_id: UUID | None
    is_deleted: bool
    deleted_at: datetime | None
    deleted_by_id: UUID | None


class Refusal(pydantic.BaseModel):
    """Why an item of a batch cannot be created.

    Attributes:
        place: its place in the batch, from 1.
        missing: the parent that is not there, such as agent; None when it is not for a parent.
        taken: the unique index in which another row has its name; with neither, the id is stored with other content.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    place: int
    missing: str | None
    taken: str | None = None
