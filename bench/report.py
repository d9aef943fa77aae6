"""What a run found, as data: what `--json` writes, and what tables, pages and comparisons are made from."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime  # noqa: TC003 - pydantic reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Answer", "Case", "Contender", "Report", "Verdict", "read", "write"]

Finite = Annotated[float, pydantic.Field(allow_inf_nan=False)]
Rounds = Annotated[list[Finite], pydantic.Field(min_length=1)]


class _Data(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Contender(_Data):
    """One way of doing it.

    Attributes:
        name: which.
        rounds: its figures by name, one for each round: `time` of an operation in seconds, `p50` and `p99` of the
            round's operations in seconds; any other is a count.
    """

    name: str
    rounds: dict[str, Rounds]


class Case(_Data):
    """One thing that was done, by several contenders in turn.

    Attributes:
        name: what.
        at: how large it was, where a question asks for several sizes.
        contenders: in the order in which they ran.
    """

    name: str
    at: Finite | None = None
    contenders: list[Contender]

    def contender(self, which: str | int) -> Contender:
        """Return a contender by its name or its place.

        Raises:
            LookupError: there is no such contender.
        """
        if isinstance(which, int):
            return self.contenders[which]
        found = [each for each in self.contenders if each.name == which]
        return found[0]

    def rounds(self, which: str | int, figure: str) -> list[float] | None:
        """Return a figure of a contender, round by round, or None where there is none."""
        with suppress(LookupError):
            return self.contender(which).rounds.get(figure)
        return None


class Answer(_Data):
    """What became of one question.

    Attributes:
        question: its name.
        asks: what it asks, in a sentence.
        seconds: how long it took, with all preparation.
        cases: what was measured.
        skipped: why nothing, or no more, could be measured here.
        failed: what went wrong.
    """

    question: str
    asks: str
    seconds: Finite
    cases: list[Case]
    skipped: str | None = None
    failed: str | None = None


class Verdict(_Data):
    """What became of one target.

    Attributes:
        question: which question measures it.
        target: in words.
        measured: of which case and contenders.
        value: what was measured, between `low` and `high` with a confidence of 95 %; None if this run did not.
        bound: what it should be.
        at_most: whether the bound is the largest that will do; else the smallest.
        unit: of value and bound; `×` for a ratio.
    """

    question: str
    target: str
    measured: str
    value: Finite | None
    low: Finite | None
    high: Finite | None
    bound: Finite
    at_most: bool
    unit: str

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None if it was not measured."""
        if self.value is None:
            return None
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def missed_by(self) -> float | None:
        """How far the value is beyond the bound, as a part of the bound; None if it is not."""
        if self.value is None or self.met:
            return None
        return abs(self.value - self.bound) / self.bound


class Report(_Data):
    """A run.

    Attributes:
        format: of this file.
        taken_at: when it began.
        size: how much it did.
        environment: on what.
        answers: in the order of the run.
        verdicts: on the targets of the questions that were asked.
    """

    format: Literal[1] = 1
    taken_at: datetime
    size: str
    environment: dict[str, str]
    answers: list[Answer]
    verdicts: list[Verdict]


async def read(path: Path) -> Report:
    """Read what `write` wrote.

    Raises:
        OSError, pydantic.ValidationError: there is no such file, or it is no report.
    """
    return Report.model_validate_json(await asyncio.to_thread(path.read_bytes))


async def write(report: Report, path: Path) -> None:
    """Write a report as JSON."""
    await asyncio.to_thread(path.write_text, report.model_dump_json(indent=1) + "\n", "utf-8")
