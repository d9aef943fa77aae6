"""Taking values out of the driver's errors: as the causes of ours, they are printed with every traceback."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

__all__ = ["message_of", "without_values"]

_REFUSED: Final = "the server refused a value"
_SYNTAX_ERROR: Final = "42601"


def message_of(error: asyncpg.PostgresError) -> str:
    """Return the server's own words, without a value."""
    return str(error.args[0]) if error.args and not _quotes_a_value(error) else _REFUSED


def without_values(error: BaseException) -> None:
    """Take out of an error what quotes a value, and what it was raised from, which may quote it too.

    A server's error keeps its message unless that quotes one; DETAIL and CONTEXT, which quote rows, go in any case.
    """
    emptied: Any = error
    emptied.detail = emptied.context = emptied.internal_query = None
    if not isinstance(error, asyncpg.PostgresError) or _quotes_a_value(error):
        emptied.args, emptied.message, emptied.hint = (_REFUSED,), _REFUSED, None
        emptied.__cause__ = emptied.__context__ = None


def _quotes_a_value(error: asyncpg.PostgresError) -> bool:
    """Tell whether the message itself quotes one. Other errors do that, if at all, in their DETAIL or CONTEXT.

    Data errors (class 22) do, and syntax errors within a value, such as a tsquery: those have no position in the SQL.
    """
    state = error.sqlstate or ""
    return state.startswith("22") or (state == _SYNTAX_ERROR and getattr(error, "position", None) is None)
