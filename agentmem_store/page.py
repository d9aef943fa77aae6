"""Pages of a list, and the opaque cursor from one page to the next."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

from agentmem_store.errors import ValidationError
from agentmem_store.inputs import check_limit

if TYPE_CHECKING:
    from agentmem_store.models.base import Row as BaseRow
    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = ["NEWEST", "Page", "decode_cursor", "encode_cursor", "list_page", "position_of", "to_page"]

Row = TypeVar("Row")
Dated = TypeVar("Dated", bound="BaseRow")

# Where a list that goes from newest to oldest begins. A value and not NULL: `$3 IS NULL OR (…) < ($3, $4)` would keep
# a generic plan from using the comparison as an index condition, and every page would read from the start.
NEWEST: Final = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Part of a list.

    Attributes:
        items: the rows, in the list's order.
        next: pass it as `cursor` for the rows that follow; None at the end.
    """

    items: list[Row]
    next: str | None


async def list_page(scope: Scope, query: Query[Dated], *filters: Any, limit: int, cursor: str | None) -> Page[Dated]:
    """Run a list query that goes from newest to oldest, and return one page.

    Args:
        scope: the tenant.
        query: takes $2 the number of rows, $3 and $4 the created_at and id to go on after, $5… the filters.
        filters: the values from $5 on.
        limit: rows of the page, 1 to 1,000.
        cursor: `Page.next` of the page before, or None for the first.

    Raises:
        ValidationError: the limit is out of range, or the cursor is of another query, tenant or filter.
    """
    binding = (query.name, str(scope.organization_id), *map(repr, filters))
    created_at, row_id = position_of(cursor, binding)
    rows = await scope.fetch_all(query, check_limit(limit) + 1, created_at, row_id, *filters)
    return to_page(rows, limit, binding)


def to_page(rows: list[Dated], limit: int, binding: tuple[str, ...]) -> Page[Dated]:
    """Cut `limit` rows out of up to one more, whose presence says that there is a next page."""
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], encode_cursor(binding, last.created_at.isoformat(), str(last.id)))


def position_of(cursor: str | None, binding: tuple[str, ...]) -> tuple[datetime, UUID]:
    """Return the created_at and id to go on after; without a cursor, those before the newest row.

    Raises:
        ValidationError: the cursor is of another query, tenant or filter.
    """
    if cursor is None:
        return NEWEST
    try:
        created_at, row_id = decode_cursor(cursor, binding)
        return datetime.fromisoformat(created_at), UUID(row_id)
    except (TypeError, ValueError):
        raise _foreign() from None


def encode_cursor(binding: tuple[str, ...], *position: str | int) -> str:
    """Write a position as a cursor that is good only for the same query, tenant and filters."""
    body = json.dumps([_fingerprint(binding), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, binding: tuple[str, ...]) -> list[Any]:
    """Read the position back.

    Raises:
        ValidationError: it is not a cursor, or of another query, tenant or filter.
    """
    try:
        body = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        fingerprint: Any = body[0]
        position: list[Any] = list(body[1:])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, binascii.Error):
        raise _foreign() from None
    if fingerprint != _fingerprint(binding):
        raise _foreign()
    return position


def _fingerprint(binding: tuple[str, ...]) -> str:
    return hashlib.sha256("\x1f".join(binding).encode()).hexdigest()[:16]


def _foreign() -> ValidationError:
    return ValidationError.of("cursor", "was not made by this query, tenant and filter; start again without it")
