"""The rules of advice, each a named object."""

from typing import Final

from agentmem_store.analysis.rules.base import Facts, Rule
from agentmem_store.analysis.rules.indexes import DUPLICATE_INDEX, INVALID_INDEX, OVERLAPPING_INDEX, UNUSED_INDEX
from agentmem_store.analysis.rules.lookups import FOREIGN_KEY_INDEX, MISSING_INDEX
from agentmem_store.analysis.rules.server import (
    BLOCKED,
    CONNECTIONS,
    IDLE_TRANSACTION,
    LONG_TRANSACTION,
    TEMP_FILES,
)
from agentmem_store.analysis.rules.tables import (
    CACHE_HITS,
    DEAD_ROWS,
    HOT_UPDATES,
    SEQUENTIAL_SCANS,
    STALE_STATISTICS,
)

__all__ = ["RULES", "Facts", "Rule"]

RULES: Final = (
    MISSING_INDEX, FOREIGN_KEY_INDEX, INVALID_INDEX, DUPLICATE_INDEX, OVERLAPPING_INDEX, UNUSED_INDEX,
    SEQUENTIAL_SCANS, DEAD_ROWS, STALE_STATISTICS, HOT_UPDATES, CACHE_HITS,
    TEMP_FILES, LONG_TRANSACTION, IDLE_TRANSACTION, BLOCKED, CONNECTIONS,
)  # fmt: skip
