-- Removes memories.

DROP TABLE agentmem.memories;
