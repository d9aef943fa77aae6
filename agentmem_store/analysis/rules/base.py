"""What a rule is, and the facts that all of them judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from agentmem_store.analysis.advice import Advice
    from agentmem_store.analysis.missing import Missing
    from agentmem_store.models.analysis import (
        DatabaseFacts,
        ForeignKeyFacts,
        IndexFacts,
        SessionFacts,
        TableFacts,
    )
    from agentmem_store.query import Query

__all__ = ["Facts", "Rule"]


@dataclass(frozen=True)
class Facts:
    """What was read of one database, all in one transaction.

    Attributes:
        indexes, foreign_keys, tables: of the schema.
        database: the database and its server.
        sessions: other clients of the database.
        pool_size: the most connections that all processes with such a pool may open.
        used_indexes: names of the indexes that the plans of the queries use.
        missing: indexes that the queries miss.
    """

    database: DatabaseFacts
    indexes: Sequence[IndexFacts] = ()
    foreign_keys: Sequence[ForeignKeyFacts] = ()
    tables: Sequence[TableFacts] = ()
    sessions: Sequence[SessionFacts] = ()
    pool_size: int = 0
    used_indexes: frozenset[str] = field(default_factory=frozenset[str])
    missing: Sequence[Missing] = ()


@dataclass(frozen=True)
class Rule:
    """Something that may be wrong with a database, and how to tell.

    Attributes:
        name: by which advice names it.
        explanation: why it matters, and what may be done, for a reader who sees it for the first time.
        queries: the statements that it judges the rows of.
        limits: from where on it speaks.
        judge: yields the advice, given facts and limits.
    """

    name: str
    explanation: str
    queries: tuple[Query[Any], ...]
    limits: Mapping[str, float]
    judge: Callable[[Facts, Mapping[str, float]], Iterator[Advice]]

    def find(self, facts: Facts) -> list[Advice]:
        """Return what it advises, given the facts."""
        return list(self.judge(facts, self.limits))
