-- Messages: what was said to and by an agent, in the order in which it was committed.
-- Creates empty tables only: takes no lock that anyone could wait for.
-- Integers count the changes of one row or the characters of a text: 32 bits are plenty.
-- squawk-ignore-file prefer-bigint-over-int

CREATE TABLE agentmem.messages (
    organization_id    uuid        NOT NULL,
    id                 uuid        NOT NULL,
    agent_id           uuid        NOT NULL,
    seq                bigint      NOT NULL,
    user_id            uuid,
    group_id           text,
    role               text        NOT NULL,
    name               text,
    text               text,
    content            jsonb,
    model              text,
    tool_calls         jsonb,
    tool_call_id       text,
    tool_returns       jsonb,
    step_id            text,
    otid               text,
    sender_id          text,
    token_count        integer,
    language           text        NOT NULL DEFAULT 'english',
    metadata           jsonb       NOT NULL DEFAULT '{}',
    version            integer     NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    created_by_id      uuid,
    last_updated_by_id uuid,
    is_deleted         boolean     NOT NULL DEFAULT false,
    deleted_at         timestamptz,
    deleted_by_id      uuid,

    CONSTRAINT messages_pkey                PRIMARY KEY (organization_id, id),
    CONSTRAINT messages_seq_key             UNIQUE (agent_id, organization_id, seq),
    CONSTRAINT messages_organization_fkey   FOREIGN KEY (organization_id)
        REFERENCES agentmem.organizations (id) ON DELETE CASCADE,
    CONSTRAINT messages_agent_fkey          FOREIGN KEY (organization_id, agent_id)
        REFERENCES agentmem.agents (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT messages_user_fkey           FOREIGN KEY (organization_id, user_id)
        REFERENCES agentmem.users (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT messages_seq_counts          CHECK (seq >= 1),
    CONSTRAINT messages_role_known          CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    CONSTRAINT messages_name_length         CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT messages_text_length         CHECK (char_length(text) <= 10000000),
    CONSTRAINT messages_content_array       CHECK (jsonb_typeof(content) = 'array'),
    CONSTRAINT messages_model_length        CHECK (char_length(model) BETWEEN 1 AND 255),
    CONSTRAINT messages_tool_calls_array    CHECK (jsonb_typeof(tool_calls) = 'array'),
    CONSTRAINT messages_tool_call_id_length CHECK (char_length(tool_call_id) BETWEEN 1 AND 255),
    CONSTRAINT messages_tool_returns_array  CHECK (jsonb_typeof(tool_returns) = 'array'),
    CONSTRAINT messages_step_id_length      CHECK (char_length(step_id) BETWEEN 1 AND 255),
    CONSTRAINT messages_otid_length         CHECK (char_length(otid) BETWEEN 1 AND 255),
    CONSTRAINT messages_group_id_length     CHECK (char_length(group_id) BETWEEN 1 AND 255),
    CONSTRAINT messages_sender_id_length    CHECK (char_length(sender_id) BETWEEN 1 AND 255),
    CONSTRAINT messages_token_count_counts  CHECK (token_count >= 0),
    CONSTRAINT messages_language_length     CHECK (char_length(language) BETWEEN 1 AND 63),
    CONSTRAINT messages_metadata_object     CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT messages_version_counts      CHECK (version >= 1),
    CONSTRAINT messages_deleted_at_set      CHECK (is_deleted = (deleted_at IS NOT NULL))
);

-- The key of seq keeps places apart and serves the cascade from agents. It begins with the agent, so that nobody takes
-- it to look up a message by its id: a plan made on the empty table would, and read the whole tenant each time (measured).
-- Reads in order go by what can be seen: a trimmed conversation may hold many times as many hidden messages, all of them before the first.
CREATE INDEX messages_visible  ON agentmem.messages (organization_id, agent_id, seq)
    WHERE NOT is_deleted;
CREATE INDEX messages_by_user  ON agentmem.messages (organization_id, user_id, agent_id, seq)
    WHERE user_id IS NOT NULL;
CREATE INDEX messages_by_group ON agentmem.messages (organization_id, agent_id, group_id, seq)
    WHERE group_id IS NOT NULL;
CREATE INDEX messages_by_step  ON agentmem.messages (organization_id, step_id, agent_id, seq)
    WHERE step_id IS NOT NULL;
