"""Removing for good: `purge` what was deleted long enough ago, `erase_…` all that is kept of somebody.

Both work in short transactions of bounded size, unless the scope is itself one, and neither holds a connection between
them. Both can be stopped anywhere, also by a kill: running them again finishes the work. Messages that go leave holes
in `seq`; an agent's counter goes on from where it was.
"""

from __future__ import annotations

from agentmem_store.retention.erasing import EraseReport, erase_agent, erase_organization, erase_user
from agentmem_store.retention.purging import PurgeReport, purge, purge_organizations

__all__ = [
    "EraseReport",
    "PurgeReport",
    "erase_agent",
    "erase_organization",
    "erase_user",
    "purge",
    "purge_organizations",
]
