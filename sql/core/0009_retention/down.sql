-- Removes the marks and their indexes. A row that is half removed can be restored afterwards, without what is gone.
-- For a while in development, not at night: an index is made anew while writers wait.
-- squawk-ignore-file require-concurrent-index-creation

DROP INDEX agentmem.memories_by_expiry;
CREATE INDEX memories_by_expiry ON agentmem.memories (expires_at) WHERE expires_at IS NOT NULL;

DROP INDEX agentmem.memories_to_purge;
DROP INDEX agentmem.messages_to_purge;
DROP INDEX agentmem.tools_to_purge;
DROP INDEX agentmem.blocks_to_purge;
DROP INDEX agentmem.agents_to_purge;
DROP INDEX agentmem.users_to_purge;
DROP INDEX agentmem.organizations_to_purge;

ALTER TABLE agentmem.tools         DROP CONSTRAINT tools_purged_stays_deleted;
ALTER TABLE agentmem.blocks        DROP CONSTRAINT blocks_purged_stays_deleted;
ALTER TABLE agentmem.agents        DROP CONSTRAINT agents_purged_stays_deleted;
ALTER TABLE agentmem.users         DROP CONSTRAINT users_purged_stays_deleted;
ALTER TABLE agentmem.organizations DROP CONSTRAINT organizations_purged_stays_deleted;

ALTER TABLE agentmem.tools         DROP COLUMN purged_at;
ALTER TABLE agentmem.blocks        DROP COLUMN purged_at;
ALTER TABLE agentmem.agents        DROP COLUMN purged_at;
ALTER TABLE agentmem.users         DROP COLUMN purged_at;
ALTER TABLE agentmem.organizations DROP COLUMN purged_at;
