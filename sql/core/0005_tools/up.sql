-- Tools: what agents may call, and the links that say which agent may call which.
-- Creates empty tables only: takes no lock that anyone could wait for.
-- Integers count the changes of one row or the characters of a text: 32 bits are plenty.
-- squawk-ignore-file prefer-bigint-over-int

CREATE TABLE agentmem.tools (
    organization_id    uuid        NOT NULL,
    id                 uuid        NOT NULL,
    name               text        NOT NULL,
    description        text,
    json_schema        jsonb,
    source_type        text,
    source_code        text,
    tags               jsonb       NOT NULL DEFAULT '[]',
    metadata           jsonb       NOT NULL DEFAULT '{}',
    version            integer     NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    created_by_id      uuid,
    last_updated_by_id uuid,
    is_deleted         boolean     NOT NULL DEFAULT false,
    deleted_at         timestamptz,
    deleted_by_id      uuid,

    CONSTRAINT tools_pkey               PRIMARY KEY (organization_id, id),
    CONSTRAINT tools_organization_fkey  FOREIGN KEY (organization_id)
        REFERENCES agentmem.organizations (id) ON DELETE CASCADE,
    CONSTRAINT tools_name_length        CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT tools_description_length CHECK (char_length(description) <= 10000000),
    CONSTRAINT tools_json_schema_object CHECK (jsonb_typeof(json_schema) = 'object'),
    CONSTRAINT tools_source_type_length CHECK (char_length(source_type) BETWEEN 1 AND 100),
    CONSTRAINT tools_source_code_length CHECK (char_length(source_code) <= 10000000),
    CONSTRAINT tools_tags_array         CHECK (jsonb_typeof(tags) = 'array'),
    CONSTRAINT tools_metadata_object    CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT tools_version_counts     CHECK (version >= 1),
    CONSTRAINT tools_deleted_at_set     CHECK (is_deleted = (deleted_at IS NOT NULL))
);

-- One living tool of a name; a soft delete frees the name.
CREATE UNIQUE INDEX tools_name_key ON agentmem.tools (organization_id, name) WHERE NOT is_deleted;
CREATE INDEX tools_by_age          ON agentmem.tools (organization_id, created_at DESC, id DESC) WHERE NOT is_deleted;
-- jsonb_ops, not jsonb_path_ops: "any of these tags" is the operator ?|, which only jsonb_ops serves. No pending list:
-- tools are written seldom, and a full one makes the planner avoid the index (measured).
CREATE INDEX tools_by_tag          ON agentmem.tools USING gin (tags) WITH (fastupdate = off) WHERE NOT is_deleted;

CREATE TABLE agentmem.tools_agents (
    organization_id uuid        NOT NULL,
    agent_id        uuid        NOT NULL,
    tool_id         uuid        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by_id   uuid,

    CONSTRAINT tools_agents_pkey       PRIMARY KEY (organization_id, agent_id, tool_id),
    CONSTRAINT tools_agents_agent_fkey FOREIGN KEY (organization_id, agent_id)
        REFERENCES agentmem.agents (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT tools_agents_tool_fkey  FOREIGN KEY (organization_id, tool_id)
        REFERENCES agentmem.tools (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX tools_agents_by_tool ON agentmem.tools_agents (organization_id, tool_id);
