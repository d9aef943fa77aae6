-- Full-text search over messages and memories, in any script, with nothing but what every server has.
-- Rewrites messages and memories for their generated columns: on a full database expect a lock for the time of a copy.
-- Of the first release: no table has rows yet when this runs, so that nobody waits.
-- squawk-ignore-file adding-field-with-default, require-concurrent-index-creation
-- Every function is immutable and reads nothing, so a generated column may use it and a sharded table can keep it.
-- None of them depends on lc_ctype: in a database with the locale C they find the same. The encoding has to be UTF8.

-- The words of a text, stemmed by its language; a language that is not listed is only split into words.
-- Configurations are literals: language::regconfig would not be immutable and could not stand in a generated column.
CREATE FUNCTION agentmem.search_words(language text, words text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE language
           WHEN 'english'    THEN to_tsvector('pg_catalog.english', words)
           WHEN 'german'     THEN to_tsvector('pg_catalog.german', words)
           WHEN 'french'     THEN to_tsvector('pg_catalog.french', words)
           WHEN 'spanish'    THEN to_tsvector('pg_catalog.spanish', words)
           WHEN 'italian'    THEN to_tsvector('pg_catalog.italian', words)
           WHEN 'portuguese' THEN to_tsvector('pg_catalog.portuguese', words)
           WHEN 'russian'    THEN to_tsvector('pg_catalog.russian', words)
           WHEN 'arabic'     THEN to_tsvector('pg_catalog.arabic', words)
           WHEN 'armenian'   THEN to_tsvector('pg_catalog.armenian', words)
           WHEN 'basque'     THEN to_tsvector('pg_catalog.basque', words)
           WHEN 'catalan'    THEN to_tsvector('pg_catalog.catalan', words)
           WHEN 'danish'     THEN to_tsvector('pg_catalog.danish', words)
           WHEN 'dutch'      THEN to_tsvector('pg_catalog.dutch', words)
           WHEN 'finnish'    THEN to_tsvector('pg_catalog.finnish', words)
           WHEN 'greek'      THEN to_tsvector('pg_catalog.greek', words)
           WHEN 'hindi'      THEN to_tsvector('pg_catalog.hindi', words)
           WHEN 'hungarian'  THEN to_tsvector('pg_catalog.hungarian', words)
           WHEN 'indonesian' THEN to_tsvector('pg_catalog.indonesian', words)
           WHEN 'irish'      THEN to_tsvector('pg_catalog.irish', words)
           WHEN 'lithuanian' THEN to_tsvector('pg_catalog.lithuanian', words)
           WHEN 'nepali'     THEN to_tsvector('pg_catalog.nepali', words)
           WHEN 'norwegian'  THEN to_tsvector('pg_catalog.norwegian', words)
           WHEN 'romanian'   THEN to_tsvector('pg_catalog.romanian', words)
           WHEN 'serbian'    THEN to_tsvector('pg_catalog.serbian', words)
           WHEN 'swedish'    THEN to_tsvector('pg_catalog.swedish', words)
           WHEN 'tamil'      THEN to_tsvector('pg_catalog.tamil', words)
           WHEN 'turkish'    THEN to_tsvector('pg_catalog.turkish', words)
           WHEN 'yiddish'    THEN to_tsvector('pg_catalog.yiddish', words)
           ELSE to_tsvector('pg_catalog.simple', words)
       END;

-- A text in one spelling of each character: compatible forms (full and half width, ligatures) as their plain ones,
-- composed, lower case. lower() of a database with lc_ctype C knows ASCII alone, which the first condition asks; there
-- capitals lose their accents by NFD, fold, and get them back by NFC, and those of other alphabets are translated.
CREATE FUNCTION agentmem.search_fold(body text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
           WHEN octet_length(body) = char_length(body)
               THEN lower(body)
           WHEN lower('Ж') <> 'ж' AND body ~ '[À-ÖØ-ÞĀ-Ɏ\u0300-\u036FΆ-ΫЀ-ЯҊ-ԮԱ-ՖḀ-Ỿἀ-Ὼ]'
               THEN replace(replace(normalize(
                   translate(
                       lower(normalize(body, NFKD)),
                       'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ'
                       'ЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ'
                       'ԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖ'
                       'ÆÐØÞŁĐĦŊŒ'
                       'ƏҐҒҖҚҢҮҰҲҺӘӨ',
                       'αβγδεζηθικλμνξοπρστυφχψω'
                       'ѐёђѓєѕіїјљњћќѝўџабвгдежзийклмнопрстуфхцчшщъыьэюя'
                       'աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ'
                       'æðøþłđħŋœ'
                       'əґғҗқңүұҳһәө'),
                   NFC), 'ё', 'е'), 'ς', 'σ')
           WHEN regexp_replace(body, '[，。！？：；（）、…]+', ' ', 'g') IS NFKC NORMALIZED
               THEN replace(replace(lower(body), 'ё', 'е'), 'ς', 'σ')
           ELSE replace(replace(lower(normalize(body, NFKC)), 'ё', 'е'), 'ς', 'σ')
       END;

-- Characters of scripts that put no spaces between words, and pictographs, as part of a character class.
CREATE FUNCTION agentmem.search_spaceless() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '\u0E00-\u0EFF'                                              -- Thai, Lao
       '\u1000-\u109F\u1780-\u17FF'                                 -- Burmese, Khmer
       '\u1100-\u11FF\uAC00-\uD7AF'                                 -- Korean: letters, syllables
       '\u3005-\u3007\u31A0-\u31BF\u3100-\u312F'                    -- Chinese: iteration marks, zero, Bopomofo
       '\u3041-\u3096\u309D-\u309F\u30A1-\u30FA\u30FC-\u30FF\u31F0-\u31FF'    -- Japanese: Hiragana, Katakana
       '\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\U00020000-\U000323AF'         -- ideographs, all planes
       '\u2600-\u27BF\u2B50\u2B55\U0001F300-\U0001FAFF';            -- pictographs

-- Signs that stand between words. The first are those of which the parser would make tags, addresses, paths and signed
-- numbers: their parts are looked for, not the whole. The same goes for a dot unless a digit follows (names of hosts
-- and files, sentences with no space between them). It is no part of this class, but stands beside it where it is used.
CREATE FUNCTION agentmem.search_separators() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '<>&/\\@_+'
       '\u0080-\u00A9\u00AB-\u00B4\u00B6-\u00B9\u00BB-\u00BF\u00D7\u00F7'     -- Latin-1 signs
       '\u055A-\u055F\u0589\u05BE'                                  -- Armenian, Hebrew
       '\u060C\u061B\u061F\u066A-\u066C\u06D4'                      -- Arabic
       '\u0964\u0965\u1361-\u1368'                                  -- Devanagari, Ethiopic
       '\u2000-\u200B\u200E-\u206F\u20A0-\u20CF\u2100-\u25FF'       -- dashes, quotes, currency, shapes
       '\u27C0-\u2B4F\u2B51-\u2B54\u2B56-\u2BFF\u2E00-\u2FFF'       -- arrows, mathematics, quotes
       '\u3000-\u3004\u3008-\u3040\u30A0\u30FB\uFE00-\uFE6F\uFFF0-\uFFFF'     -- of East Asia; forms; specials
       '\U0001F000-\U0001F2FF'                                      -- tiles, cards, enclosed letters
       '-';

-- Of a folded text, what is written with spaces: all else becomes spaces. Looking ahead at each dot costs more than all
-- else here, and few texts have one that joins, so that is asked first.
CREATE FUNCTION agentmem.search_spaced(folded text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(
           folded,
           '[' || agentmem.search_spaceless() || agentmem.search_separators() || ']+'
           || CASE WHEN folded ~ '\.[^0-9\s]' THEN '|\.(?![0-9])' ELSE '' END,
           ' ', 'g');

-- Words without their accents, in Latin, Greek, Hebrew and Arabic script. In others a mark is part of the letter.
CREATE FUNCTION agentmem.search_unaccented(words text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN translate(
           replace(normalize(
               regexp_replace(
                   normalize(words, NFD),
                   '(?<=[a-zα-ω])[\u0300-\u036F]+|[\u0591-\u05BD\u05BF-\u05C7\u0640\u064B-\u065F\u0670]',
                   '', 'g'),
               NFC), 'ß', 'ss'),
           'øłđðħıæœ', 'olddhiao');

-- Runs of a script without spaces between words (Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese, pictographs):
-- each pair of neighbouring characters, and each character. No parser is asked, so none can disagree.
CREATE FUNCTION agentmem.search_pairs(folded text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT array_to_tsvector(array_remove(run.characters, ' ') || run.pairs)
    FROM (
        SELECT split.characters,
               (
                   SELECT array_agg(pair.one || pair.next)
                   FROM unnest(split.characters, split.characters[2:]) AS pair (one, next)
                   WHERE pair.one <> ' ' AND pair.next <> ' '
               ) AS pairs
        FROM (
            SELECT string_to_array(
                       regexp_replace(folded, '[^' || agentmem.search_spaceless() || ']+', ' ', 'g'), NULL
                   ) AS characters
            OFFSET 0
        ) AS split
    ) AS run
);

-- The lexemes of a folded text. A word with accents is there twice, with them (a stemmer may need them) and without
-- (whoever asks may leave them out).
CREATE FUNCTION agentmem.search_lexemes(language text, folded text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
           WHEN folded ~ '[ß-öø-ɏά-ώ\u0591-\u05C7\u0640-\u065F\u1E00-\u1FFF\u0300-\u036F]' THEN
               agentmem.search_words(language, agentmem.search_unaccented(agentmem.search_spaced(folded)))
               || agentmem.search_words(
                   language,
                   regexp_replace(agentmem.search_spaced(folded), '(?<!\S)[!-~]+(?!\S)', ' ', 'g'))
           ELSE agentmem.search_words(language, agentmem.search_spaced(folded))
       END
       || CASE
              WHEN folded ~ ('[' || agentmem.search_spaceless() || ']')
              THEN agentmem.search_pairs(folded)
              ELSE ''::tsvector
          END;

-- The lexemes of a text's first 50,000 characters: whatever they are, they stay within the limits of a tsvector.
-- In PL/pgSQL, which keeps the plan of its expression for the session. In SQL all of this would be inlined and planned
-- anew by every single INSERT: a create took 3.2 ms instead of 1.4, a row of a large batch the same (measured).
CREATE FUNCTION agentmem.search_vector(language text, body text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN CASE
               WHEN octet_length(body) = char_length(body) THEN
                   agentmem.search_words(
                       language,
                       regexp_replace(
                           left(body, 50000),
                           CASE WHEN body ~ '\.[^0-9\s]' THEN '[<>&/\\@_+-]+|\.(?![0-9])' ELSE '[<>&/\\@_+-]+' END,
                           ' ', 'g'))
               ELSE agentmem.search_lexemes(language, left(agentmem.search_fold(left(body, 50000)), 50000))
           END;
END
$$;

-- The text parts of a message's content: elements that are text, and the text of elements that have one.
CREATE FUNCTION agentmem.search_parts(content jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    SELECT string_agg(part.text #>> '{}', ' ' ORDER BY part.place)
    FROM (
        SELECT element.place,
               CASE jsonb_typeof(element.value) WHEN 'object' THEN element.value -> 'text' ELSE element.value END AS text
        FROM jsonb_array_elements(content) WITH ORDINALITY AS element (value, place)
    ) AS part
    WHERE jsonb_typeof(part.text) = 'string'
);

-- Of a text the label that stands before it, up to the first colon, such as who speaks in "Ada: …"; '' if there is none.
CREATE FUNCTION agentmem.search_label(body text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN left(body, greatest(strpos(replace(left(body, 40), '：', ': '), ': ') - 1, 0));

-- The lexemes of a text and of its label. Those of the label have weight A: who speaks tells more than who is mentioned.
CREATE FUNCTION agentmem.search_labelled(language text, label text, body text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN CASE
               WHEN label <> ''
                   THEN setweight(agentmem.search_vector(language, label), 'A') || agentmem.search_vector(language, body)
               ELSE agentmem.search_vector(language, body)
           END;
END
$$;

-- Whose a row is, as a lexeme that no text can contain (the sign @ is taken out of every text): and-ed to a query it
-- keeps the index scan within the owner's rows, however many others have. Should two owners share their twelve digits,
-- the statement's own conditions decide. Groups, types, scopes and levels are marks as they are, after the same sign.
CREATE FUNCTION agentmem.search_mark(owner uuid) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '@' || right(owner::text, 12);

-- One lexeme as a query. It passes quoted, so nothing in it is read as an operator. (Not quote_literal: it writes E''
-- where there is a backslash, which tsquery does not know.)
CREATE FUNCTION agentmem.search_term(lexeme text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery;

-- The rows that have all of these marks, of which some may be NULL.
CREATE FUNCTION agentmem.search_marked(marks text[]) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT string_agg(agentmem.search_term(mark)::text, ' & ')::tsquery
    FROM unnest(array_remove(marks, NULL)) AS mark
);

-- A phrase: its words one after another, as far apart as they stand in it; of scripts without spaces all pairs.
-- Accents do not count. NULL for a phrase without words.
CREATE FUNCTION agentmem.search_phrase(language text, phrase text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT string_agg(
               CASE
                   WHEN word.rank = 1              THEN ''
                   WHEN word.place > word.previous THEN ' <' || word.place - word.previous || '> '
                   ELSE ' & '
               END
               || agentmem.search_term(word.lexeme)::text,
               '' ORDER BY word.rank)::tsquery
    FROM (
        SELECT term.lexeme,
               place,
               lag(place)   OVER (ORDER BY place, term.lexeme) AS previous,
               row_number() OVER (ORDER BY place, term.lexeme) AS rank
        FROM unnest(agentmem.search_vector(language, agentmem.search_unaccented(agentmem.search_fold(phrase)))) AS term
        LEFT JOIN unnest(term.positions) AS place ON true
    ) AS word
);

-- Of a phrase the runs that its pairs do not settle, because they are longer: the pairs may stand apart in a text.
CREATE FUNCTION agentmem.search_runs(phrase text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT run.found[1]
    FROM regexp_matches(
             agentmem.search_fold(phrase), '[' || agentmem.search_spaceless() || ']{3,}', 'g') AS run (found)
);

-- Whether all of these runs stand in a text, within what of it is indexed.
CREATE FUNCTION agentmem.search_contains(body text, runs text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(bool_and(position(run IN agentmem.search_fold(left(body, 50000))) > 0), true)
    FROM unnest(runs) AS run
);

-- Arguments are columns where they can be: a function whose argument is costly is called for each row, not inlined.
ALTER TABLE agentmem.messages ADD COLUMN search tsvector
    GENERATED ALWAYS AS (
        agentmem.search_labelled(language, name, coalesce(text, ''))
        || CASE
               WHEN content IS NULL THEN ''
               ELSE agentmem.search_vector(
                   language,
                   left(coalesce(agentmem.search_parts(content), ''),
                        greatest(50000 - char_length(coalesce(text, '')), 0)))
           END
        || array_to_tsvector(array_remove(
            ARRAY[agentmem.search_mark(agent_id), agentmem.search_mark(user_id), '@' || group_id],
            NULL))
    ) STORED;

ALTER TABLE agentmem.memories ADD COLUMN search tsvector
    GENERATED ALWAYS AS (
        agentmem.search_labelled(language, agentmem.search_label(content), content)
        || array_to_tsvector(array_remove(
            ARRAY[
                agentmem.search_mark(organization_id), agentmem.search_mark(agent_id), agentmem.search_mark(user_id),
                '@' || memory_type, '@' || scope, '@' || level
            ],
            NULL))
    ) STORED;

CREATE INDEX messages_search ON agentmem.messages USING gin (search) WHERE NOT is_deleted;
CREATE INDEX memories_search ON agentmem.memories USING gin (search) WHERE NOT is_deleted;

-- In how many of an agent's rows a lexeme is, for lexemes that are in many; the lexeme '' counts all rows. Approximate
-- and written by a refresh only: what is missing here is rare, or the agent has few rows, or nobody has refreshed yet.
CREATE TABLE agentmem.term_frequencies (
    organization_id uuid        NOT NULL,
    source          text        NOT NULL,
    lexeme          text        NOT NULL,
    agent_id        uuid        NOT NULL,
    frequency       bigint      NOT NULL,
    refreshed_at    timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT term_frequencies_pkey             PRIMARY KEY (organization_id, source, lexeme, agent_id),
    CONSTRAINT term_frequencies_agent_fkey       FOREIGN KEY (organization_id, agent_id)
        REFERENCES agentmem.agents (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT term_frequencies_source_known     CHECK (source IN ('messages', 'memories')),
    CONSTRAINT term_frequencies_frequency_counts CHECK (frequency >= 1)
);

-- Serves the cascade from agents, and a refresh.
CREATE INDEX term_frequencies_by_agent ON agentmem.term_frequencies (organization_id, agent_id);
