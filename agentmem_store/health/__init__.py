"""Whether a process, its pool and its server are well: by named checks, each with its own deadline.

To be read in this order: `checks` (what is looked at), `visit` (on which connection, and until when), `doctor`.
"""

from agentmem_store.health.doctor import Doctor, diagnose, not_open

__all__ = ["Doctor", "diagnose", "not_open"]
