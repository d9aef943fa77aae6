"""What a statement that links rows to an agent says of itself."""

from __future__ import annotations

import pydantic

__all__ = ["Linking"]


class Linking(pydantic.BaseModel):
    """What came of linking rows to an agent: all of them, or none.

    Attributes:
        linked: how many were not linked before.
        missing: the place in the batch, from 1, of the first row that is not visible; None when all are.
        agent_found: whether the agent is visible.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    linked: int
    missing: int | None
    agent_found: bool
