"""Migrations: numbered folders of SQL, each applied once, in order, under a lock.

To be read in this order: `files` (what the folders say), `ledger` (what was done), `drift` (both compared), `runner`.
"""

from agentmem_store.migrations.drift import Status
from agentmem_store.migrations.files import Migration, discover, sql_root
from agentmem_store.migrations.ledger import Applied
from agentmem_store.migrations.runner import down, status, up, verify

__all__ = ["Applied", "Migration", "Status", "discover", "down", "sql_root", "status", "up", "verify"]
