-- Agents, and the counter from which each agent's messages take their place in the conversation.
-- Creates empty tables only: takes no lock that anyone could wait for.
-- Integers count the changes of one row or the characters of a text: 32 bits are plenty.
-- squawk-ignore-file prefer-bigint-over-int

CREATE TABLE agentmem.agents (
    organization_id    uuid        NOT NULL,
    id                 uuid        NOT NULL,
    name               text,
    agent_type         text,
    description        text,
    system             text,
    topic              text,
    message_ids        uuid[]      NOT NULL DEFAULT '{}',
    metadata           jsonb       NOT NULL DEFAULT '{}',
    llm_config         jsonb,
    embedding_config   jsonb,
    tool_rules         jsonb,
    mcp_tools          jsonb,
    version            integer     NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    created_by_id      uuid,
    last_updated_by_id uuid,
    is_deleted         boolean     NOT NULL DEFAULT false,
    deleted_at         timestamptz,
    deleted_by_id      uuid,

    CONSTRAINT agents_pkey                    PRIMARY KEY (organization_id, id),
    CONSTRAINT agents_organization_fkey       FOREIGN KEY (organization_id)
        REFERENCES agentmem.organizations (id) ON DELETE CASCADE,
    CONSTRAINT agents_name_length             CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT agents_agent_type_length       CHECK (char_length(agent_type) BETWEEN 1 AND 100),
    CONSTRAINT agents_description_length      CHECK (char_length(description) <= 10000000),
    CONSTRAINT agents_system_length           CHECK (char_length(system) <= 10000000),
    CONSTRAINT agents_topic_length            CHECK (char_length(topic) <= 10000000),
    CONSTRAINT agents_message_ids_flat        CHECK (array_ndims(message_ids) IS NULL OR array_ndims(message_ids) = 1),
    CONSTRAINT agents_metadata_object         CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT agents_llm_config_object       CHECK (jsonb_typeof(llm_config) = 'object'),
    CONSTRAINT agents_embedding_config_object CHECK (jsonb_typeof(embedding_config) = 'object'),
    CONSTRAINT agents_tool_rules_array        CHECK (jsonb_typeof(tool_rules) = 'array'),
    CONSTRAINT agents_mcp_tools_array         CHECK (jsonb_typeof(mcp_tools) = 'array'),
    CONSTRAINT agents_version_counts          CHECK (version >= 1),
    CONSTRAINT agents_deleted_at_set          CHECK (is_deleted = (deleted_at IS NOT NULL))
);

CREATE INDEX agents_by_age  ON agentmem.agents (organization_id, created_at DESC, id DESC) WHERE NOT is_deleted;
CREATE INDEX agents_by_name ON agentmem.agents (organization_id, name, created_at, id)     WHERE NOT is_deleted;

-- A table of its own, narrow and never indexed beyond its key: every append updates it, and so it stays HOT and the
-- wide agents row is not rewritten.
CREATE TABLE agentmem.message_counters (
    organization_id uuid   NOT NULL,
    agent_id        uuid   NOT NULL,
    last_seq        bigint NOT NULL DEFAULT 0,

    CONSTRAINT message_counters_pkey       PRIMARY KEY (organization_id, agent_id),
    CONSTRAINT message_counters_agent_fkey FOREIGN KEY (organization_id, agent_id)
        REFERENCES agentmem.agents (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT message_counters_counts     CHECK (last_seq >= 0)
) WITH (fillfactor = 50);
