-- Retention: marks rows whose removal has begun, and finds what was deleted or has expired without reading what lives.
-- Writers wait while a table's constraint is checked and its index is built, each of which reads the table once.
-- Of the first release: no table has rows yet when this runs, so that nobody waits.
-- squawk-ignore-file constraint-missing-not-valid, require-concurrent-index-creation, require-concurrent-index-deletion

-- From then on nothing brings the row back, although what hangs on it is still being removed, batch by batch.
ALTER TABLE agentmem.organizations ADD COLUMN purged_at timestamptz;
ALTER TABLE agentmem.users         ADD COLUMN purged_at timestamptz;
ALTER TABLE agentmem.agents        ADD COLUMN purged_at timestamptz;
ALTER TABLE agentmem.blocks        ADD COLUMN purged_at timestamptz;
ALTER TABLE agentmem.tools         ADD COLUMN purged_at timestamptz;

ALTER TABLE agentmem.organizations ADD CONSTRAINT organizations_purged_stays_deleted CHECK (purged_at IS NULL OR is_deleted);
ALTER TABLE agentmem.users         ADD CONSTRAINT users_purged_stays_deleted         CHECK (purged_at IS NULL OR is_deleted);
ALTER TABLE agentmem.agents        ADD CONSTRAINT agents_purged_stays_deleted        CHECK (purged_at IS NULL OR is_deleted);
ALTER TABLE agentmem.blocks        ADD CONSTRAINT blocks_purged_stays_deleted        CHECK (purged_at IS NULL OR is_deleted);
ALTER TABLE agentmem.tools         ADD CONSTRAINT tools_purged_stays_deleted         CHECK (purged_at IS NULL OR is_deleted);

-- In the order of purged_at first: those that are not marked yet, by age, and those that are, lie together.
CREATE INDEX organizations_to_purge ON agentmem.organizations (purged_at, deleted_at)                  WHERE is_deleted;
CREATE INDEX users_to_purge         ON agentmem.users         (organization_id, purged_at, deleted_at) WHERE is_deleted;
CREATE INDEX agents_to_purge        ON agentmem.agents        (organization_id, purged_at, deleted_at) WHERE is_deleted;
CREATE INDEX blocks_to_purge        ON agentmem.blocks        (organization_id, purged_at, deleted_at) WHERE is_deleted;
CREATE INDEX tools_to_purge         ON agentmem.tools         (organization_id, purged_at, deleted_at) WHERE is_deleted;
CREATE INDEX messages_to_purge      ON agentmem.messages      (organization_id, deleted_at)            WHERE is_deleted;
CREATE INDEX memories_to_purge      ON agentmem.memories      (organization_id, deleted_at)            WHERE is_deleted;

-- By tenant, as every statement asks.
DROP INDEX agentmem.memories_by_expiry;
CREATE INDEX memories_by_expiry ON agentmem.memories (organization_id, expires_at) WHERE expires_at IS NOT NULL;
