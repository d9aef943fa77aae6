-- Removes tools and their links to agents.

DROP TABLE agentmem.tools_agents;
DROP TABLE agentmem.tools;
