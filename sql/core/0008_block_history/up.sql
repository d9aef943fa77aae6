-- The values that blocks had before, so that a change can be undone.
-- Creates an empty table only: takes no lock that anyone could wait for.
-- Integers count the changes of one row or the characters of a text: 32 bits are plenty.
-- squawk-ignore-file prefer-bigint-over-int

CREATE TABLE agentmem.block_values (
    organization_id uuid        NOT NULL,
    block_id        uuid        NOT NULL,
    version         integer     NOT NULL,  -- the last version of the block that had this value
    value           text        NOT NULL,
    undone_to       integer,               -- where an undo replaced it: the version whose value that put back
    replaced_at     timestamptz NOT NULL DEFAULT now(),
    replaced_by_id  uuid,

    CONSTRAINT block_values_pkey           PRIMARY KEY (organization_id, block_id, version),
    CONSTRAINT block_values_block_fkey     FOREIGN KEY (organization_id, block_id)
        REFERENCES agentmem.blocks (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT block_values_version_counts CHECK (version >= 1),
    CONSTRAINT block_values_undone_to_past CHECK (undone_to < version)
);
