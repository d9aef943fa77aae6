"""Migrations: numbered folders of SQL, each applied once, in order, under a lock.

The core, to be read in this order: `files` (what the folders say), `ledger` (what was done), `drift` (both compared),
`runner` (apply and take back). Around it: `operations` (what one calls), `checks` (before anything runs), `splitter`,
`stepwise` and `indexes` (files without a transaction), `scratch`, `fingerprint` and `planning` (what a migration will
do, and whether the live schema is what the files make), `backfilling` (changing many rows in batches).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentmem_store.migrations.drift import Status
from agentmem_store.migrations.files import Migration, discover, sql_root
from agentmem_store.migrations.ledger import Applied
from agentmem_store.migrations.operations import baseline, down, new, repair, require_head, status, to, up, verify

if TYPE_CHECKING:
    from agentmem_store.migrations.backfilling import backfill
    from agentmem_store.migrations.fingerprint import verify_live
    from agentmem_store.migrations.planning import PlannedMigration, plan

__all__ = [
    "Applied",
    "Migration",
    "PlannedMigration",
    "Status",
    "backfill",
    "baseline",
    "discover",
    "down",
    "new",
    "plan",
    "repair",
    "require_head",
    "sql_root",
    "status",
    "to",
    "up",
    "verify",
    "verify_live",
]

# What an application does not need at its start is imported when it is first asked for.
_LATER = {
    "PlannedMigration": "planning",
    "backfill": "backfilling",
    "plan": "planning",
    "verify_live": "fingerprint",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
