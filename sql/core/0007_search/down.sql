-- Removes the search columns, their indexes and functions, and the counts of words; nothing that was stored by a caller.

DROP TABLE agentmem.term_frequencies;
ALTER TABLE agentmem.memories DROP COLUMN search;
ALTER TABLE agentmem.messages DROP COLUMN search;
DROP FUNCTION agentmem.search_contains(text, text[]);
DROP FUNCTION agentmem.search_runs(text);
DROP FUNCTION agentmem.search_phrase(text, text);
DROP FUNCTION agentmem.search_marked(text[]);
DROP FUNCTION agentmem.search_term(text);
DROP FUNCTION agentmem.search_mark(uuid);
DROP FUNCTION agentmem.search_labelled(text, text, text);
DROP FUNCTION agentmem.search_label(text);
DROP FUNCTION agentmem.search_parts(jsonb);
DROP FUNCTION agentmem.search_vector(text, text);
DROP FUNCTION agentmem.search_lexemes(text, text);
DROP FUNCTION agentmem.search_pairs(text);
DROP FUNCTION agentmem.search_unaccented(text);
DROP FUNCTION agentmem.search_spaced(text);
DROP FUNCTION agentmem.search_separators();
DROP FUNCTION agentmem.search_spaceless();
DROP FUNCTION agentmem.search_fold(text);
DROP FUNCTION agentmem.search_words(text, text);
