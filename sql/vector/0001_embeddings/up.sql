-- Embeddings of memories and of messages, beside the rows they were made of: several models may have one each.
-- Creates empty tables only: takes no lock that anyone could wait for. Needs pgvector 0.6 or newer.

-- The extension stays in the schema where it is; where there is none, it goes to public, as other software expects it.
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

DO $$
DECLARE
    installed text := (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'vector');
BEGIN
    IF string_to_array(installed, '.')::integer[] < '{0,6}' THEN
        RAISE EXCEPTION 'pgvector 0.6 or newer is needed, and this database has %', installed
            USING ERRCODE = 'feature_not_supported',
                  HINT    = 'Install a newer pgvector on the server, then run ALTER EXTENSION vector UPDATE.';
    END IF;
END
$$;

-- Names of the extension are looked up here only, once: bodies in RETURN form keep what they were bound to, wherever the
-- extension lies. The planner puts such a body in the place of the call, so an index on the operator behind it serves.
SELECT set_config('search_path', quote_ident(n.nspname), true)
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'vector';

CREATE FUNCTION agentmem.to_vector(numbers real[]) RETURNS vector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN numbers::vector;

CREATE FUNCTION agentmem.embedding_distance(one vector, other vector) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN one <=> other;

-- Above 2,000 dimensions half precision, which an index can hold (to 4,000) and a page too; pgvector 0.6 has none yet.
DO $$
BEGIN
    IF to_regtype('halfvec') IS NULL THEN
        CREATE FUNCTION agentmem.to_long_vector(numbers real[]) RETURNS vector
            LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN numbers::vector;
    ELSE
        CREATE FUNCTION agentmem.to_long_vector(numbers real[]) RETURNS halfvec
            LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN numbers::halfvec;

        CREATE FUNCTION agentmem.embedding_distance(one halfvec, other halfvec) RETURNS double precision
            LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN one <=> other;
    END IF;
END
$$;

-- A table for each dimension, as an index has one. Whose a row is, and its place, never change, so they are copied
-- here, and a search reads no other table until it knows the nearest. No index on the vectors: most owners have few, and
-- an exact scan of those is as fast; `embeddings.create_index` makes one where it pays.
DO $$
DECLARE
    dimension integer;
    kind      text;
BEGIN
    FOREACH dimension IN ARRAY '{256, 384, 512, 768, 1024, 1536, 2048, 3072}'::integer[] LOOP
        kind := CASE WHEN dimension > 2000 AND to_regtype('halfvec') IS NOT NULL THEN 'halfvec' ELSE 'vector' END;

        EXECUTE format($ddl$
            CREATE TABLE agentmem.memory_embeddings_%1$s (
                organization_id uuid        NOT NULL,
                memory_id       uuid        NOT NULL,
                model           text        NOT NULL,
                agent_id        uuid,
                user_id         uuid,
                version         integer     NOT NULL,  -- of the memory when it was embedded
                embedded_at     timestamptz NOT NULL DEFAULT now(),
                embedding       %2$s(%1$s)  NOT NULL,

                CONSTRAINT memory_embeddings_%1$s_pkey         PRIMARY KEY (organization_id, memory_id, model),
                CONSTRAINT memory_embeddings_%1$s_memory_fkey  FOREIGN KEY (organization_id, memory_id)
                    REFERENCES agentmem.memories (organization_id, id) ON DELETE CASCADE,
                CONSTRAINT memory_embeddings_%1$s_model_length CHECK (char_length(model) BETWEEN 1 AND 255)
            );

            CREATE INDEX memory_embeddings_%1$s_by_agent ON agentmem.memory_embeddings_%1$s
                (organization_id, model, agent_id, user_id);
            CREATE INDEX memory_embeddings_%1$s_by_user  ON agentmem.memory_embeddings_%1$s
                (organization_id, model, user_id)
                WHERE user_id IS NOT NULL;

            CREATE TABLE agentmem.message_embeddings_%1$s (
                organization_id uuid        NOT NULL,
                message_id      uuid        NOT NULL,
                model           text        NOT NULL,
                agent_id        uuid        NOT NULL,
                seq             bigint      NOT NULL,
                user_id         uuid,
                group_id        text,
                version         integer     NOT NULL,  -- of the message when it was embedded
                embedded_at     timestamptz NOT NULL DEFAULT now(),
                embedding       %2$s(%1$s)  NOT NULL,

                CONSTRAINT message_embeddings_%1$s_pkey         PRIMARY KEY (organization_id, message_id, model),
                CONSTRAINT message_embeddings_%1$s_message_fkey FOREIGN KEY (organization_id, message_id)
                    REFERENCES agentmem.messages (organization_id, id) ON DELETE CASCADE,
                CONSTRAINT message_embeddings_%1$s_model_length CHECK (char_length(model) BETWEEN 1 AND 255)
            );

            CREATE INDEX message_embeddings_%1$s_by_agent ON agentmem.message_embeddings_%1$s
                (organization_id, model, agent_id);
            CREATE INDEX message_embeddings_%1$s_by_user  ON agentmem.message_embeddings_%1$s
                (organization_id, model, agent_id, user_id)
                WHERE user_id IS NOT NULL;
            CREATE INDEX message_embeddings_%1$s_by_group ON agentmem.message_embeddings_%1$s
                (organization_id, model, agent_id, group_id, user_id)
                WHERE group_id IS NOT NULL;
        $ddl$, dimension, kind);

        -- Within the row: an exact scan would fetch each vector of more than 2 kB from elsewhere, piece by piece.
        IF dimension <= 2000 OR kind = 'halfvec' THEN
            EXECUTE format($ddl$
                ALTER TABLE agentmem.memory_embeddings_%1$s  ALTER COLUMN embedding SET STORAGE PLAIN;
                ALTER TABLE agentmem.message_embeddings_%1$s ALTER COLUMN embedding SET STORAGE PLAIN;
            $ddl$, dimension);
        END IF;
    END LOOP;
END
$$;
