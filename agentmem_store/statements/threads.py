"""Statements over one agent's messages, of everybody, of one user, or of one group: three plans, one text.

An agent may serve many users and threads, and each of them has an index. A filter like `$3 IS NULL OR user_id = $3`
would give up those indexes in a generic plan, so each case is a statement of its own; all take the same parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, LiteralString, NamedTuple, TypeVar

from agentmem_store.query import Query

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["ByThread", "by_thread"]

Row = TypeVar("Row")

_OF_ALL: Final[LiteralString] = "$3::uuid IS NULL AND $4::text IS NULL"
_OF_USER: Final[LiteralString] = "m.user_id = $3 AND $4::text IS NULL"
_OF_GROUP: Final[LiteralString] = "m.group_id = $4 AND ($3::uuid IS NULL OR m.user_id = $3)"


class ByThread(NamedTuple, Generic[Row]):
    """The three statements. Each takes $2 the agent, $3 the user or NULL, $4 the group or NULL."""

    of_all: Query[Row]
    of_user: Query[Row]
    of_group: Query[Row]

    def of(self, user_id: UUID | None, group_id: str | None) -> Query[Row]:
        """Return the statement whose index serves this filter."""
        if group_id is not None:
            return self.of_group
        return self.of_all if user_id is None else self.of_user


def by_thread(name: str, row: type[Row], first: LiteralString, *rest: LiteralString) -> ByThread[Row]:
    """Make the three statements: the thread's filter goes between the parts."""

    def joined(condition: LiteralString) -> LiteralString:
        text = first
        for part in rest:
            text = text + condition + part
        return text

    return ByThread(
        Query(name, row, joined(_OF_ALL)),
        Query(name + "_of_user", row, joined(_OF_USER)),
        Query(name + "_of_group", row, joined(_OF_GROUP)),
    )
