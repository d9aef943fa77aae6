-- How tables are laid out and looked after, so that what is read often stays as fast as they grow. No column changes.
-- Settings take effect on pages written from then on. One index is built anew, which reads its table once.
-- Of the first release: no table has rows yet when this runs, so that nobody waits.
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion

-- Room in a page for the next version of its rows. Without it 1 in 20 to 1 in 13 updates moved to another page and wrote
-- all indexes; measured over 8,000 updates without a vacuum, with 100 and with what is set here: blocks.update 95.4 and
-- 100 % HOT, 144 and 154 pages in the end; blocks.append 93.7 and 100 %, 153 and 154 pages.
ALTER TABLE agentmem.blocks SET (fillfactor = 80);

-- The list of messages in context grows with each turn: 92.7 and 100 % HOT, 139 and 84 pages.
ALTER TABLE agentmem.agents SET (fillfactor = 70);

-- What is appended becomes visible to index-only scans by a vacuum, which came after a fifth of the table. With that
-- much not vacuumed, a count by agent read 6 times as many pages, and its plan changed to a scan of every tenant's rows.
ALTER TABLE agentmem.messages SET (autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE agentmem.memories SET (autovacuum_vacuum_insert_scale_factor = 0.05);

-- Words of new rows wait in a list that every search reads through, until it is full and the append that fills it writes
-- them to the index. Measured over 2,800 appends of 190 characters, with 4 MB, 256 kB and no list: an append took 0.37,
-- 0.38 and 0.75 ms (median), a search 18, 10 and 11 ms at the end, and the index had 607, 164 and 141 pages. A bulk load
-- took 620, 710 and 1,640 microseconds a row.
ALTER INDEX agentmem.messages_search SET (gin_pending_list_limit = 256);
ALTER INDEX agentmem.memories_search SET (gin_pending_list_limit = 256);

-- Counting an agent's memories asks of each row who it is about, and whether it has expired. With both in the index that
-- is an index-only read: a quarter of the pages and half of the time, for an index that is 30 % larger. Neither is a
-- key, and a touch changes neither: it stays HOT.
DROP INDEX agentmem.memories_by_agent;
CREATE INDEX memories_by_agent ON agentmem.memories (organization_id, agent_id, is_deleted, created_at DESC, id DESC)
    INCLUDE (user_id, expires_at)
    WHERE agent_id IS NOT NULL;
