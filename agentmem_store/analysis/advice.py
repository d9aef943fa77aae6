"""What is advised, as a value that can be acted on."""

from __future__ import annotations

from typing import Any, Final, Literal

import pydantic

__all__ = ["Advice", "Severity"]

Severity = Literal["critical", "warning", "notice"]
_ORDER: Final = ("critical", "warning", "notice")


class Advice(pydantic.BaseModel):
    """One thing to do, and why.

    Attributes:
        rule: the rule that found it, such as ``missing_index``.
        severity: ``critical``, it hurts now or soon; ``warning``, it costs; ``notice``, worth knowing.
        subject: the table, index, query or process that it is about.
        message: what was found, in words.
        evidence: the numbers behind it.
        ddl: the exact statement that does it; None where no statement does.
        undo: the statement that takes it back; None where nothing has to be.
        size_estimate: bytes that the statement takes on disk, negative for those it frees; None where it does neither.
        proof: ``hypopg``, the planner chose the index when shown it; ``estimate``, by the planner's row counts
            and formulas; ``measured``, by the server's own statistics and catalogs.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    rule: str
    severity: Severity
    subject: str
    message: str
    evidence: dict[str, Any]
    ddl: str | None = None
    undo: str | None = None
    size_estimate: int | None = None
    proof: Literal["hypopg", "estimate", "measured"] = "measured"

    @property
    def rank(self) -> tuple[int, str, str]:
        """What advice is sorted by: the most severe first."""
        return _ORDER.index(self.severity), self.rule, self.subject
