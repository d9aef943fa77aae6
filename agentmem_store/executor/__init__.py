"""Where statements run: on any connection of the pool, or on the one connection of a transaction."""

from agentmem_store.executor.base import Executor, Isolation
from agentmem_store.executor.coalescer import LEFT_OUT, Coalescer, Kind
from agentmem_store.executor.connected import ConnectionExecutor
from agentmem_store.executor.pooled import PoolExecutor

__all__ = ["LEFT_OUT", "Coalescer", "ConnectionExecutor", "Executor", "Isolation", "Kind", "PoolExecutor"]
