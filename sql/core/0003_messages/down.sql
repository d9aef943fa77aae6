-- Removes messages.

DROP TABLE agentmem.messages;
