-- Indexes of half precision go too: nothing would use them. Takes a lock on their tables, for a moment.
DO $$
DECLARE
    dimension integer;
BEGIN
    FOREACH dimension IN ARRAY '{256, 384, 512, 768, 1024, 1536, 2048, 3072}'::integer[] LOOP
        IF dimension <= 2000 THEN
            EXECUTE format('DROP INDEX IF EXISTS agentmem.memory_embeddings_%1$s_nearest', dimension);
            EXECUTE format('DROP INDEX IF EXISTS agentmem.message_embeddings_%1$s_nearest', dimension);
        END IF;
        EXECUTE format('DROP FUNCTION agentmem.indexed_%1$s', dimension);
    END LOOP;
END
$$;
