-- Memories: what an agent keeps about its world, its users and itself.
-- Creates empty tables only: takes no lock that anyone could wait for.
-- Integers count the changes of one row or the characters of a text: 32 bits are plenty.
-- squawk-ignore-file prefer-bigint-over-int

CREATE TABLE agentmem.memories (
    organization_id    uuid             NOT NULL,
    id                 uuid             NOT NULL,
    agent_id           uuid,
    user_id            uuid,
    content            text             NOT NULL,
    hash               text             NOT NULL,
    dedup_hash         text,
    memory_type        text             NOT NULL DEFAULT 'semantic',
    scope              text             NOT NULL DEFAULT 'agent',
    level              text             NOT NULL DEFAULT 'operational',
    importance         double precision NOT NULL DEFAULT 0,
    score              double precision,
    access_count       bigint           NOT NULL DEFAULT 0,
    last_accessed      timestamptz,
    expires_at         timestamptz,
    language           text             NOT NULL DEFAULT 'english',
    metadata           jsonb            NOT NULL DEFAULT '{}',
    version            integer          NOT NULL DEFAULT 1,
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    created_by_id      uuid,
    last_updated_by_id uuid,
    is_deleted         boolean          NOT NULL DEFAULT false,
    deleted_at         timestamptz,
    deleted_by_id      uuid,

    CONSTRAINT memories_pkey               PRIMARY KEY (organization_id, id),
    CONSTRAINT memories_organization_fkey  FOREIGN KEY (organization_id)
        REFERENCES agentmem.organizations (id) ON DELETE CASCADE,
    CONSTRAINT memories_agent_fkey         FOREIGN KEY (organization_id, agent_id)
        REFERENCES agentmem.agents (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT memories_user_fkey          FOREIGN KEY (organization_id, user_id)
        REFERENCES agentmem.users (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT memories_content_length     CHECK (char_length(content) BETWEEN 1 AND 10000000),
    CONSTRAINT memories_hash_sha256        CHECK (hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT memories_dedup_hash_same    CHECK (dedup_hash = hash),
    CONSTRAINT memories_memory_type_length CHECK (char_length(memory_type) BETWEEN 1 AND 50),
    CONSTRAINT memories_scope_length       CHECK (char_length(scope) BETWEEN 1 AND 50),
    CONSTRAINT memories_level_length       CHECK (char_length(level) BETWEEN 1 AND 50),
    -- NaN sorts above every number in PostgreSQL, so the upper bound keeps it out as well.
    CONSTRAINT memories_importance_range   CHECK (importance BETWEEN 0 AND 1),
    CONSTRAINT memories_score_finite       CHECK (score > '-Infinity' AND score < 'Infinity'),
    CONSTRAINT memories_access_counts      CHECK (access_count >= 0),
    CONSTRAINT memories_language_length    CHECK (char_length(language) BETWEEN 1 AND 63),
    CONSTRAINT memories_metadata_object    CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT memories_version_counts     CHECK (version >= 1),
    CONSTRAINT memories_deleted_at_set     CHECK (is_deleted = (deleted_at IS NOT NULL))
) WITH (fillfactor = 90);  -- room for touch() to stay HOT: access_count and last_accessed are in no index

CREATE INDEX memories_by_age        ON agentmem.memories (organization_id, created_at DESC, id DESC) WHERE NOT is_deleted;
-- is_deleted within the key, and not as a predicate: so the index serves the cascade from the parent as well as a list
-- that passes over no hidden row (nine in ten hidden: 51 rows read for a page, against 1,000).
CREATE INDEX memories_by_agent      ON agentmem.memories (organization_id, agent_id, is_deleted, created_at DESC, id DESC)
    WHERE agent_id IS NOT NULL;
CREATE INDEX memories_by_user       ON agentmem.memories (organization_id, user_id, is_deleted, created_at DESC, id DESC)
    WHERE user_id IS NOT NULL;
CREATE INDEX memories_by_importance ON agentmem.memories (organization_id, agent_id, importance DESC, created_at DESC, id DESC)
    WHERE NOT is_deleted;
CREATE INDEX memories_by_expiry     ON agentmem.memories (expires_at) WHERE expires_at IS NOT NULL;
CREATE UNIQUE INDEX memories_dedup_key ON agentmem.memories (organization_id, dedup_hash, agent_id, user_id)
    NULLS NOT DISTINCT
    WHERE dedup_hash IS NOT NULL AND NOT is_deleted;
