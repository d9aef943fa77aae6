-- Organizations, the tenants, and their users.
-- Creates empty tables only: takes no lock that anyone could wait for.
-- Integers count the changes of one row or the characters of a text: 32 bits are plenty.
-- squawk-ignore-file prefer-bigint-over-int

CREATE TABLE agentmem.organizations (
    id                 uuid        NOT NULL,
    name               text        NOT NULL,
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

    CONSTRAINT organizations_pkey            PRIMARY KEY (id),
    CONSTRAINT organizations_name_length     CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT organizations_language_length CHECK (char_length(language) BETWEEN 1 AND 63),
    CONSTRAINT organizations_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT organizations_version_counts  CHECK (version >= 1),
    CONSTRAINT organizations_deleted_at_set  CHECK (is_deleted = (deleted_at IS NOT NULL))
);

CREATE INDEX organizations_by_age  ON agentmem.organizations (created_at DESC, id DESC) WHERE NOT is_deleted;
CREATE INDEX organizations_by_name ON agentmem.organizations (name, created_at, id)     WHERE NOT is_deleted;

CREATE TABLE agentmem.users (
    organization_id    uuid        NOT NULL,
    id                 uuid        NOT NULL,
    name               text        NOT NULL,
    status             text        NOT NULL DEFAULT 'active',
    timezone           text        NOT NULL DEFAULT 'UTC',
    metadata           jsonb       NOT NULL DEFAULT '{}',
    version            integer     NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    created_by_id      uuid,
    last_updated_by_id uuid,
    is_deleted         boolean     NOT NULL DEFAULT false,
    deleted_at         timestamptz,
    deleted_by_id      uuid,

    CONSTRAINT users_pkey              PRIMARY KEY (organization_id, id),
    CONSTRAINT users_organization_fkey FOREIGN KEY (organization_id)
        REFERENCES agentmem.organizations (id) ON DELETE CASCADE,
    CONSTRAINT users_name_length       CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT users_status_known      CHECK (status IN ('active', 'inactive')),
    CONSTRAINT users_timezone_length   CHECK (char_length(timezone) BETWEEN 1 AND 100),
    CONSTRAINT users_metadata_object   CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT users_version_counts    CHECK (version >= 1),
    CONSTRAINT users_deleted_at_set    CHECK (is_deleted = (deleted_at IS NOT NULL))
);

CREATE INDEX users_by_age    ON agentmem.users (organization_id, created_at DESC, id DESC)         WHERE NOT is_deleted;
CREATE INDEX users_by_status ON agentmem.users (organization_id, status, created_at DESC, id DESC) WHERE NOT is_deleted;
CREATE INDEX users_by_name   ON agentmem.users (organization_id, name, created_at, id)             WHERE NOT is_deleted;
