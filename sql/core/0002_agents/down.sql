-- Removes agents and their counters.

DROP TABLE agentmem.message_counters;
DROP TABLE agentmem.agents;
