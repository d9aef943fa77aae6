-- Removes blocks and their links to agents.

DROP TABLE agentmem.blocks_agents;
DROP TABLE agentmem.blocks;
