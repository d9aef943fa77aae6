-- Blocks: labelled pieces of an agent's core memory, shared between agents by links.
-- Creates empty tables only: takes no lock that anyone could wait for.
-- Integers count the changes of one row or the characters of a text: 32 bits are plenty.
-- squawk-ignore-file prefer-bigint-over-int

CREATE TABLE agentmem.blocks (
    organization_id    uuid        NOT NULL,
    id                 uuid        NOT NULL,
    user_id            uuid,
    label              text        NOT NULL,
    value              text        NOT NULL DEFAULT '',
    "limit"            integer     NOT NULL DEFAULT 2000,
    description        text,
    is_template        boolean     NOT NULL DEFAULT false,
    template_name      text,
    metadata           jsonb       NOT NULL DEFAULT '{}',
    version            integer     NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    created_by_id      uuid,
    last_updated_by_id uuid,
    is_deleted         boolean     NOT NULL DEFAULT false,
    deleted_at         timestamptz,
    deleted_by_id      uuid,

    CONSTRAINT blocks_pkey                 PRIMARY KEY (organization_id, id),
    CONSTRAINT blocks_organization_fkey    FOREIGN KEY (organization_id)
        REFERENCES agentmem.organizations (id) ON DELETE CASCADE,
    CONSTRAINT blocks_user_fkey            FOREIGN KEY (organization_id, user_id)
        REFERENCES agentmem.users (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT blocks_label_length         CHECK (char_length(label) BETWEEN 1 AND 50),
    CONSTRAINT blocks_limit_range          CHECK ("limit" BETWEEN 1 AND 10000000),
    CONSTRAINT blocks_value_within_limit   CHECK (char_length(value) <= "limit"),
    CONSTRAINT blocks_description_length   CHECK (char_length(description) <= 10000000),
    CONSTRAINT blocks_template_name_length CHECK (char_length(template_name) BETWEEN 1 AND 255),
    CONSTRAINT blocks_metadata_object      CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT blocks_version_counts       CHECK (version >= 1),
    CONSTRAINT blocks_deleted_at_set       CHECK (is_deleted = (deleted_at IS NOT NULL))
);

CREATE INDEX blocks_by_age      ON agentmem.blocks (organization_id, created_at DESC, id DESC)          WHERE NOT is_deleted;
CREATE INDEX blocks_by_user     ON agentmem.blocks (organization_id, user_id, created_at DESC, id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX blocks_by_label    ON agentmem.blocks (organization_id, label, created_at DESC, id DESC)   WHERE NOT is_deleted;
CREATE INDEX blocks_by_template ON agentmem.blocks (organization_id, template_name, created_at DESC, id DESC)
    WHERE is_template AND NOT is_deleted;

CREATE TABLE agentmem.blocks_agents (
    organization_id uuid        NOT NULL,
    agent_id        uuid        NOT NULL,
    block_id        uuid        NOT NULL,
    block_label     text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by_id   uuid,

    CONSTRAINT blocks_agents_pkey         PRIMARY KEY (organization_id, agent_id, block_id),
    CONSTRAINT blocks_agents_agent_fkey   FOREIGN KEY (organization_id, agent_id)
        REFERENCES agentmem.agents (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT blocks_agents_block_fkey   FOREIGN KEY (organization_id, block_id)
        REFERENCES agentmem.blocks (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT blocks_agents_label_length CHECK (char_length(block_label) BETWEEN 1 AND 50)
);

CREATE INDEX blocks_agents_by_block ON agentmem.blocks_agents (organization_id, block_id);
