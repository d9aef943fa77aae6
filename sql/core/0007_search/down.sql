-- Removes the search columns, their indexes and functions, and the counts of words; nothing that was stored by a caller.

DROP TABLE agentmem.term_frequencies;
ALTER TABLE agentmem.memories DROP COLUMN search;
ALTER TABLE agentmem.messages DROP COLUMN search;
DROP FUNCTION agentmem.search_phrase(text, text);
DROP FUNCTION agentmem.search_owned(uuid[]);
DROP FUNCTION agentmem.search_term(text);
DROP FUNCTION agentmem.search_marks(uuid[]);
DROP FUNCTION agentmem.search_parts(jsonb);
DROP FUNCTION agentmem.search_vector(text, text);
DROP FUNCTION agentmem.search_lexemes(text, text);
DROP FUNCTION agentmem.search_pairs(text);
DROP FUNCTION agentmem.search_unaccented(text);
DROP FUNCTION agentmem.search_spaced(text);
DROP FUNCTION agentmem.search_fold(text);
DROP FUNCTION agentmem.search_words(text, text);
