"""What a dump or a load knows of the database when it begins."""

from __future__ import annotations

from datetime import datetime

import pydantic

__all__ = ["Beginning"]


class Beginning(pydantic.BaseModel):
    """The state in which a transaction found the organization and the schema.

    Attributes:
        is_deleted: whether the organization is softly deleted; None where there is none.
        schema_version: the newest migration of the core track; 0 where none is noted.
        began_at: when the transaction began.
        settings: what was set for the rest of the transaction.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    is_deleted: bool | None
    schema_version: int
    began_at: datetime
    settings: str
