"""Many blocks at once, of any number, from a list or a stream. Part of `blocks`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final, overload

from agentmem_store.inputs import json_text
from agentmem_store.models.blocks import NewBlock
from agentmem_store.repositories.block_values import held_to_limit
from agentmem_store.repositories.creation import BATCH, Creation, check_items, create_rows, create_stream
from agentmem_store.statements import block_values
from agentmem_store.statements import blocks as statements

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from agentmem_store.models.blocks import Block
    from agentmem_store.repositories.creation import Mode
    from agentmem_store.scope import Scope

__all__ = ["CREATION", "create_many"]

# What an upsert gives to a block that is stored; whose it is stays.
_REWRITTEN: Final = set(NewBlock.model_fields) - {"id", "user_id"}
# Blocks of one statement, whose values share an object of at most 256 MB.
_AT_ONCE: Final = 200


def _columns(new: NewBlock) -> tuple[Any, ...]:
    return (
        new.id,
        new.user_id,
        new.label,
        new.value,
        new.limit,
        new.description,
        new.is_template,
        new.template_name,
        json_text(new.metadata),
    )


# Its upsert is the first of two steps: see `_rewrite`.
CREATION: Final = Creation(
    "block",
    statements.CREATE,
    statements.CREATE_REFUSALS,
    statements.CREATE_STORED,
    _columns,
    new=NewBlock,
    upsert=statements.CREATE_OR_LOCK,
)


@overload
async def create_many(scope: Scope, new: Sequence[NewBlock], *, mode: Mode = "strict") -> list[Block]: ...
@overload
async def create_many(scope: Scope, new: AsyncIterable[NewBlock], *, mode: Mode = "strict") -> int: ...
async def create_many(
    scope: Scope, new: Sequence[NewBlock] | AsyncIterable[NewBlock], *, mode: Mode = "strict"
) -> list[Block] | int:
    """Create all of the blocks or none, any number of them, in one transaction.

    Args:
        new: a sequence; or an asynchronous iterable, of which no more than 10,000 are held at a time. That one is
            awaited while the transaction holds a connection, so it should not need another from the same pool.
        mode: what an id means that is stored already. `strict`: the same content returns the row, other content is a
            conflict. `skip`: the row comes back as it stands. `upsert`: the row takes all of the new content as a new
            version, unless it has it already; the value it had goes to its history, a new label to its links.

    Returns:
        one row per input, in input order; of an asynchronous iterable, the number of its items.

    Raises:
        NotFound: the organization or a user does not exist or is deleted; the message names the item.
        Conflict: an id is stored with other content (`strict`), or with a block that is deleted or of another user
            (`upsert`); `current` is the stored row.
        ValidationError: an item is no `NewBlock`, or an id is given twice; nothing was sent. (An asynchronous iterable
            is checked as it comes, and an id that returns more than 10,000 items later counts as stored.)
    """
    with held_to_limit():
        if isinstance(new, AsyncIterable):
            return await (_upsert_stream(scope, new) if mode == "upsert" else create_stream(scope, CREATION, new, mode))
        if mode != "upsert":
            return await create_rows(scope, CREATION, new, mode)
        check_items(CREATION, new)
        async with scope.transaction() as tx:
            rows = await create_rows(tx, CREATION, new, mode)
            rewritten = {row.id: row for row in await _rewrite(tx, new)}
        return [rewritten.get(row.id, row) for row in rows]


async def _rewrite(tx: Scope, new: Sequence[NewBlock]) -> list[Block]:
    """Give the blocks, which this transaction stored or locked, what differs from their content; return those."""
    rows: list[Block] = []
    for start in range(0, len(new), _AT_ONCE):
        part = new[start : start + _AT_ONCE]
        contents = [json_text(block.model_dump(include=_REWRITTEN)) for block in part]
        ids = [block.id for block in part]
        rows += await tx.fetch_all(block_values.REWRITE, tx.actor_id, ids, contents)
    return rows


async def _upsert_stream(scope: Scope, new: AsyncIterable[NewBlock]) -> int:
    async with scope.transaction() as tx:
        batch: list[NewBlock] = []

        async def followed() -> AsyncGenerator[NewBlock, None]:
            async for block in new:
                batch.append(block)
                yield block
                # Asked for more than a batch, this one is stored or locked.
                if len(batch) == BATCH:
                    await _rewrite(tx, batch)
                    batch.clear()

        count = await create_stream(tx, CREATION, followed(), "upsert")
        await _rewrite(tx, batch)
    return count
