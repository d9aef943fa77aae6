-- Full-text search over messages and memories, in any script, with nothing but what every server has.
-- Rewrites messages and memories for their generated columns: on a full database expect a lock for the time of a copy.

-- The lexemes of a text. Words are stemmed by the language; runs of scripts that put no spaces between words (Chinese,
-- Japanese, Korean, Thai) become overlapping pairs of characters, and single ones. Two passes of a regular expression
-- make the pairs: one from the first character of each run, one from the second.
-- Configurations are literals: language::regconfig would not be immutable and could not stand in an index.
CREATE FUNCTION agentmem.search_vector(language text, body text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE language
           WHEN 'english'    THEN to_tsvector('pg_catalog.english', left(body, 100000))
           WHEN 'german'     THEN to_tsvector('pg_catalog.german', left(body, 100000))
           WHEN 'french'     THEN to_tsvector('pg_catalog.french', left(body, 100000))
           WHEN 'spanish'    THEN to_tsvector('pg_catalog.spanish', left(body, 100000))
           WHEN 'italian'    THEN to_tsvector('pg_catalog.italian', left(body, 100000))
           WHEN 'portuguese' THEN to_tsvector('pg_catalog.portuguese', left(body, 100000))
           WHEN 'russian'    THEN to_tsvector('pg_catalog.russian', left(body, 100000))
           ELSE to_tsvector('pg_catalog.simple', left(body, 100000))
       END
       || CASE
              WHEN body ~ '[\u0E00-\u0E7F\u1100-\u11FF\u3040-\u30FF\u3400-\u9FFF\uAC00-\uD7AF]' THEN
                  to_tsvector(
                      'pg_catalog.simple',
                      regexp_replace(
                          left(body, 30000),
                          '([\u0E00-\u0E7F\u1100-\u11FF\u3040-\u30FF\u3400-\u9FFF\uAC00-\uD7AF]{2})',
                          ' \1 ', 'g'))
                  || to_tsvector(
                      'pg_catalog.simple',
                      regexp_replace(
                          regexp_replace(
                              left(body, 30000),
                              '(^|[^\u0E00-\u0E7F\u1100-\u11FF\u3040-\u30FF\u3400-\u9FFF\uAC00-\uD7AF])[\u0E00-\u0E7F\u1100-\u11FF\u3040-\u30FF\u3400-\u9FFF\uAC00-\uD7AF]',
                              '\1 ', 'g'),
                          '([\u0E00-\u0E7F\u1100-\u11FF\u3040-\u30FF\u3400-\u9FFF\uAC00-\uD7AF]{2})',
                          ' \1 ', 'g'))
              ELSE ''::tsvector
          END;

-- Any term of a text, as a query. Lexemes pass quoted, so nothing in them is read as an operator. (Not quote_literal: it
-- writes E'' where there is a backslash, which tsquery does not know.)
CREATE FUNCTION agentmem.search_any(language text, query text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(
               string_agg('''' || replace(replace(term.lexeme, '\', '\\'), '''', '''''') || '''', ' | '), '')::tsquery
    FROM unnest(agentmem.search_vector(language, query)) AS term
);

ALTER TABLE agentmem.messages ADD COLUMN search tsvector
    GENERATED ALWAYS AS (
        agentmem.search_vector(language, coalesce(name, '') || ': ' || coalesce(text, '') || ' ' || coalesce(content::text, ''))
    ) STORED;

ALTER TABLE agentmem.memories ADD COLUMN search tsvector
    GENERATED ALWAYS AS (agentmem.search_vector(language, content)) STORED;

CREATE INDEX messages_search ON agentmem.messages USING gin (search) WHERE NOT is_deleted;
CREATE INDEX memories_search ON agentmem.memories USING gin (search) WHERE NOT is_deleted;
