"""What hangs on what, and the statements that remove it in that order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agentmem_store.statements import agents, blocks, organizations, stamping, tools, users
from agentmem_store.statements import retention as statements

if TYPE_CHECKING:
    from uuid import UUID

    from agentmem_store.models.retention import Batch
    from agentmem_store.query import Query

__all__ = ["AGENT", "BLOCK", "ORGANIZATION", "TOOL", "USER", "Parent"]


@dataclass(frozen=True, slots=True)
class Parent:
    """A kind of row that others hang on.

    Attributes:
        due: stamps and returns those whose removal is due.
        children: each removes a batch of what hangs on one of them; an earlier one may hang on a later one.
        itself: removes it, unless another transaction holds it.
        hard_delete: removes it and whatever is left of its children, and waits for those who hold them.
        blocks: returns the blocks that hang on it; they have children of their own.
    """

    due: Query[UUID]
    children: tuple[Query[Batch], ...]
    itself: Query[Batch]
    hard_delete: Query[Any]
    blocks: Query[UUID] | None = None


BLOCK: Final = Parent(
    due=stamping.BLOCKS_DUE,
    children=(statements.BLOCKS_AGENTS_OF_BLOCK, statements.BLOCK_VALUES_OF_BLOCK),
    itself=statements.BLOCK,
    hard_delete=blocks.HARD_DELETE,
)
TOOL: Final = Parent(
    due=stamping.TOOLS_DUE,
    children=(statements.TOOLS_AGENTS_OF_TOOL,),
    itself=statements.TOOL,
    hard_delete=tools.HARD_DELETE,
)
AGENT: Final = Parent(
    due=stamping.AGENTS_DUE,
    children=(
        statements.MESSAGES_OF_AGENT,
        statements.MEMORIES_OF_AGENT,
        statements.BLOCKS_AGENTS_OF_AGENT,
        statements.TOOLS_AGENTS_OF_AGENT,
        statements.MESSAGE_COUNTERS_OF_AGENT,
        statements.TERM_FREQUENCIES_OF_AGENT,
    ),
    itself=statements.AGENT,
    hard_delete=agents.HARD_DELETE,
)
USER: Final = Parent(
    due=stamping.USERS_DUE,
    children=(statements.MESSAGES_OF_USER, statements.MEMORIES_OF_USER),
    itself=statements.USER,
    hard_delete=users.HARD_DELETE,
    blocks=statements.BLOCKS_OF_USER,
)
ORGANIZATION: Final = Parent(
    due=stamping.ORGANIZATIONS_DUE,
    children=(
        statements.MESSAGES,
        statements.MEMORIES,
        statements.BLOCKS_AGENTS,
        statements.TOOLS_AGENTS,
        statements.BLOCK_VALUES,
        statements.MESSAGE_COUNTERS,
        statements.TERM_FREQUENCIES,
        statements.BLOCKS,
        statements.TOOLS,
        statements.AGENTS,
        statements.USERS,
    ),
    itself=statements.ORGANIZATION,
    hard_delete=organizations.HARD_DELETE,
)
