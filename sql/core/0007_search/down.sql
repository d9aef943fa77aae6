-- Removes the search columns, their indexes and functions; nothing that was stored by a caller.

ALTER TABLE agentmem.memories DROP COLUMN search;
ALTER TABLE agentmem.messages DROP COLUMN search;
DROP FUNCTION agentmem.search_any(text, text);
DROP FUNCTION agentmem.search_vector(text, text);
