"""Statements about transactions themselves; they belong to no tenant."""

from __future__ import annotations

from typing import Final

from agentmem_store.query import Query

__all__ = ["CURRENT_ID", "STATUS"]

# NULL while nothing was written. As text: the driver has no codec for xid8.
CURRENT_ID: Final = Query("transactions.current_id", str, """
SELECT pg_current_xact_id_if_assigned()::text
""")

# $1 the id; committed, aborted, in progress, or NULL when it is too old to tell.
STATUS: Final = Query("transactions.status", str, """
SELECT pg_xact_status($1::text::xid8)
""")
