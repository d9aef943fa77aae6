-- Embeddings are lost; what they were made of stays. The extension stays too: others may use it.
DO $$
DECLARE
    dimension integer;
BEGIN
    FOREACH dimension IN ARRAY '{256, 384, 512, 768, 1024, 1536, 2048, 3072}'::integer[] LOOP
        EXECUTE format('DROP TABLE agentmem.memory_embeddings_%1$s, agentmem.message_embeddings_%1$s', dimension);
    END LOOP;
END
$$;

DROP FUNCTION agentmem.to_vector(real[]);
DROP FUNCTION agentmem.to_long_vector(real[]);
DO $$
DECLARE
    distance regprocedure;
BEGIN
    FOR distance IN
        SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace = 'agentmem'::regnamespace AND p.proname = 'embedding_distance'
    LOOP
        EXECUTE format('DROP FUNCTION %s', distance);
    END LOOP;
END
$$;
