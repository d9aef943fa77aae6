"""What the statements that keep searches in shape say they found or did."""

from __future__ import annotations

from uuid import UUID

import pydantic

__all__ = ["Due", "Reindexed"]


class _Told(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)


class Due(_Told):
    """An agent, and whether its words are to be counted anew."""

    id: UUID
    is_due: bool


class Reindexed(_Told):
    """A batch of rows that were looked at.

    Attributes:
        walked: how many.
        changed: how many of them had another language, and have the organization's now.
        next_id: where the next batch begins; None when this was the last one.
    """

    walked: int
    changed: int
    next_id: UUID | None
