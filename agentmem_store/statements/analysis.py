"""Statements that read what advice is made of: catalogs and statistics, of one schema where $1 is its name."""

from __future__ import annotations

from typing import Final

from agentmem_store.models.analysis import (
    ColumnFacts,
    DatabaseFacts,
    EffectFacts,
    ForeignKeyFacts,
    IndexFacts,
    SessionFacts,
    TableFacts,
)
from agentmem_store.query import Query

__all__ = ["COLUMNS", "DATABASE", "FOREIGN_KEYS", "INDEXES", "SESSIONS", "TABLES", "WRITE_EFFECTS"]

# last_idx_scan is of PostgreSQL 16: read by its name, so that one statement serves all versions. A foreign key stands
# on the index of the key that it points to, which pg_constraint tells by conindid.
INDEXES: Final = Query("server.indexes", IndexFacts, """
SELECT c.oid::bigint                                                          AS number,
       n.nspname::text                                                        AS schema_name,
       t.relname::text                                                        AS table_name,
       c.relname::text                                                        AS name,
       am.amname::text                                                        AS method,
       (SELECT jsonb_agg(pg_get_indexdef(i.indexrelid, place, true) ORDER BY place)
        FROM generate_series(1, i.indnkeyatts) AS place)                      AS keys,
       (SELECT jsonb_agg(o.opcname ORDER BY class.place)
        FROM unnest(i.indclass::oid[]) WITH ORDINALITY AS class (id, place)
        JOIN pg_opclass AS o ON o.oid = class.id)                             AS classes,
       (SELECT jsonb_agg(coalesce(l.collname, '') ORDER BY used.place)
        FROM unnest(i.indcollation::oid[]) WITH ORDINALITY AS used (id, place)
        LEFT JOIN pg_collation AS l ON l.oid = used.id)                       AS collations,
       to_jsonb(i.indoption::smallint[])                                      AS orders,
       (SELECT coalesce(jsonb_agg(pg_get_indexdef(i.indexrelid, place, true) ORDER BY place), '[]')
        FROM generate_series(i.indnkeyatts + 1, i.indnatts) AS place)         AS included,
       i.indexprs IS NOT NULL                                                 AS has_expressions,
       pg_get_expr(i.indpred, i.indrelid, true)                               AS predicate,
       i.indisunique                                                          AS is_unique,
       NOT i.indimmediate                                                     AS is_deferrable,
       i.indisprimary                                                         AS is_primary,
       i.indisreplident                                                       AS is_replica_identity,
       i.indisvalid                                                           AS is_valid,
       i.indisready                                                           AS is_ready,
       EXISTS (
           SELECT
           FROM pg_stat_progress_create_index AS b
           WHERE b.index_relid = i.indexrelid
       )                                                                      AS is_building,
       i.indnullsnotdistinct                                                  AS nulls_not_distinct,
       (SELECT coalesce(jsonb_agg(k.conname ORDER BY k.conname), '[]')
        FROM pg_constraint AS k
        WHERE k.conindid = i.indexrelid)                                      AS constraints,
       pg_get_indexdef(i.indexrelid)                                          AS definition,
       pg_relation_size(i.indexrelid)                                         AS bytes,
       coalesce(s.idx_scan, 0)                                                AS scans,
       (to_jsonb(s) ->> 'last_idx_scan')::timestamptz                         AS last_scan,
       t.reltuples::float8                                                    AS table_rows
FROM pg_index AS i
JOIN pg_class AS c     ON c.oid = i.indexrelid
JOIN pg_class AS t     ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_am AS am       ON am.oid = c.relam
LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = i.indexrelid
WHERE n.nspname = $1
ORDER BY t.relname, c.relname
""")

# width: of an entry of an index on its columns, by what ANALYZE saw of them.
FOREIGN_KEYS: Final = Query("server.foreign_keys", ForeignKeyFacts, """
SELECT n.nspname::text              AS schema_name,
       t.relname::text              AS table_name,
       k.conname::text              AS name,
       columns.names                AS columns,
       columns.nullable             AS nullable,
       k.confrelid::regclass::text  AS target,
       t.reltuples::float8          AS table_rows,
       columns.held * t.reltuples   AS held_rows,
       columns.distinct             AS distinct,
       columns.width::float8        AS width
FROM pg_constraint AS k
JOIN pg_class AS t     ON t.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
CROSS JOIN LATERAL (
    SELECT jsonb_agg(a.attname ORDER BY key.place)                                               AS names,
           coalesce(jsonb_agg(a.attname ORDER BY key.place) FILTER (WHERE NOT a.attnotnull), '[]') AS nullable,
           sum(coalesce(s.avg_width, 8))                                                         AS width,
           min(1 - coalesce(s.null_frac, 0))                                                     AS held,
           exp(sum(ln(greatest(1, CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * t.reltuples
                                       ELSE coalesce(s.n_distinct, t.reltuples)
                                  END))))                                                        AS distinct
    FROM unnest(k.conkey) WITH ORDINALITY AS key (number, place)
    JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = key.number
    LEFT JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = t.relname AND s.attname = a.attname
) AS columns
WHERE n.nspname = $1
  AND k.contype = 'f'
ORDER BY t.relname, k.conname
""")

# A table's own settings go before the server's.
TABLES: Final = Query("server.tables", TableFacts, """
SELECT s.schemaname::text                                                   AS schema_name,
       s.relname::text                                                      AS table_name,
       c.reltuples::float8                                                  AS rows,
       coalesce(s.n_live_tup, 0)                                            AS live,
       coalesce(s.n_dead_tup, 0)                                            AS dead,
       coalesce(s.n_mod_since_analyze, 0)                                   AS changed,
       coalesce(s.n_tup_ins, 0)                                             AS inserted,
       coalesce(s.n_tup_upd, 0)                                             AS updated,
       coalesce(s.n_tup_hot_upd, 0)                                         AS hot_updated,
       coalesce(s.n_tup_del, 0)                                             AS deleted,
       coalesce(s.seq_scan, 0)                                              AS seq_scans,
       coalesce(s.seq_tup_read, 0)                                          AS seq_rows,
       coalesce(s.idx_scan, 0)                                              AS index_scans,
       coalesce(io.heap_blks_read, 0) + coalesce(io.idx_blks_read, 0)       AS blocks_read,
       coalesce(io.heap_blks_hit, 0) + coalesce(io.idx_blks_hit, 0)         AS blocks_hit,
       pg_table_size(s.relid)                                               AS table_bytes,
       pg_indexes_size(s.relid)                                             AS index_bytes,
       pg_total_relation_size(s.relid)                                      AS total_bytes,
       coalesce(own.enabled, current_setting('autovacuum')::boolean)        AS autovacuum,
       coalesce(own.vacuum_threshold, current_setting('autovacuum_vacuum_threshold')::float8)
       + coalesce(own.vacuum_scale, current_setting('autovacuum_vacuum_scale_factor')::float8)
         * greatest(c.reltuples, 0)::float8                                 AS vacuum_at,
       coalesce(own.analyze_threshold, current_setting('autovacuum_analyze_threshold')::float8)
       + coalesce(own.analyze_scale, current_setting('autovacuum_analyze_scale_factor')::float8)
         * greatest(c.reltuples, 0)::float8                                 AS analyze_at,
       coalesce(own.fillfactor, 100)                                        AS fillfactor,
       greatest(s.last_vacuum, s.last_autovacuum)                           AS last_vacuum,
       greatest(s.last_analyze, s.last_autoanalyze)                         AS last_analyze
FROM pg_stat_user_tables AS s
JOIN pg_class AS c ON c.oid = s.relid
LEFT JOIN pg_statio_user_tables AS io ON io.relid = s.relid
CROSS JOIN LATERAL (
    SELECT max(o.option_value) FILTER (WHERE o.option_name = 'fillfactor')::integer AS fillfactor,
           bool_and(o.option_value::boolean)
               FILTER (WHERE o.option_name = 'autovacuum_enabled')                  AS enabled,
           max(o.option_value) FILTER (WHERE o.option_name = 'autovacuum_vacuum_threshold')::float8
                                                                                    AS vacuum_threshold,
           max(o.option_value) FILTER (WHERE o.option_name = 'autovacuum_vacuum_scale_factor')::float8
                                                                                    AS vacuum_scale,
           max(o.option_value) FILTER (WHERE o.option_name = 'autovacuum_analyze_threshold')::float8
                                                                                    AS analyze_threshold,
           max(o.option_value) FILTER (WHERE o.option_name = 'autovacuum_analyze_scale_factor')::float8
                                                                                    AS analyze_scale
    FROM pg_options_to_table(c.reloptions) AS o
) AS own
WHERE s.schemaname = $1
ORDER BY s.relname
""")

# Statistics that were never reset are at least as old as the server is up. reserved_connections is of PostgreSQL 16.
DATABASE: Final = Query("server.database", DatabaseFacts, """
SELECT current_setting('server_version_num')::integer                                AS version,
       extract(epoch FROM clock_timestamp()
                          - coalesce(d.stats_reset, pg_postmaster_start_time()))::float8 AS statistics_s,
       coalesce(d.temp_files, 0)                                                     AS temp_files,
       coalesce(d.temp_bytes, 0)                                                     AS temp_bytes,
       coalesce(d.xact_commit, 0)                                                    AS commits,
       coalesce(d.deadlocks, 0)                                                      AS deadlocks,
       current_setting('max_connections')::integer
       - current_setting('superuser_reserved_connections')::integer
       - coalesce(current_setting('reserved_connections', true)::integer, 0)         AS room,
       (SELECT count(a.pid)
        FROM pg_stat_activity AS a
        WHERE a.backend_type = 'client backend')                                     AS connected,
       current_setting('work_mem')                                                   AS work_mem,
       pg_is_in_recovery()                                                           AS is_replica
FROM pg_stat_database AS d
WHERE d.datname = current_database()
""")

# pg_blocking_pids costs a look at all locks, so it is asked for those that wait only.
SESSIONS: Final = Query("server.sessions", SessionFacts, """
SELECT coalesce(a.pid, 0)                                                              AS pid,
       coalesce(a.application_name, '')                                                AS application,
       coalesce(a.state, '')                                                           AS state,
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8       AS transaction_s,
       coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8     AS state_s,
       coalesce(extract(epoch FROM clock_timestamp() - wait.since), 0)::float8         AS waits_s,
       CASE WHEN wait.kind IS NULL THEN '[]' ELSE to_jsonb(pg_blocking_pids(a.pid)) END AS blockers,
       wait.kind                                                                       AS waits_for
FROM pg_stat_activity AS a
LEFT JOIN LATERAL (
    SELECT l.locktype || coalesce(' ' || l.relation::regclass::text, '') AS kind,
           l.waitstart                                                  AS since
    FROM pg_locks AS l
    WHERE l.pid = a.pid
      AND NOT l.granted
    LIMIT 1
) AS wait ON true
WHERE a.datname = current_database()
  AND a.pid <> pg_backend_pid()
  AND a.backend_type = 'client backend'
ORDER BY a.xact_start NULLS LAST, a.pid
""")

# $1 the schemas, $2 the tables, each of the schema at its place. distinct: values among the rows; 0 when unknown.
COLUMNS: Final = Query("server.columns", ColumnFacts, """
SELECT n.nspname::text                                                     AS schema_name,
       t.relname::text                                                     AS table_name,
       a.attname::text                                                     AS name,
       format_type(a.atttypid, NULL)                                       AS type_name,
       greatest(t.reltuples, 0)::float8                                    AS rows,
       (pg_relation_size(t.oid) / current_setting('block_size')::integer)::integer AS pages,
       coalesce(s.avg_width, 8)                                            AS width,
       coalesce(CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * greatest(t.reltuples, 0)
                     ELSE s.n_distinct
                END, 0)::float8                                            AS distinct,
       coalesce(s.correlation, 0)::float8                                  AS correlation,
       EXISTS (
           SELECT
           FROM pg_opclass AS o
           JOIN pg_am AS am ON am.oid = o.opcmethod
           WHERE am.amname = 'btree' AND o.opcdefault
             AND (o.opcintype = a.atttypid OR (o.opcintype = 'text'::regtype AND a.atttypid = 'varchar'::regtype)
                  OR (o.opcintype = 'anyenum'::regtype AND y.typtype = 'e'))
       )                                                                   AS sorts,
       a.atttypid IN ('tsvector'::regtype, 'jsonb'::regtype) OR y.typcategory = 'A' AS contains
FROM unnest($1::text[], $2::text[]) AS wanted (schema_name, table_name)
JOIN pg_namespace AS n ON n.nspname = wanted.schema_name
JOIN pg_class AS t     ON t.relnamespace = n.oid AND t.relname = wanted.table_name
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS y      ON y.oid = a.atttypid
LEFT JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = t.relname AND s.attname = a.attname
WHERE t.relkind IN ('r', 'm')
ORDER BY n.nspname, t.relname, a.attnum
""")

# What a write to tables of these names moves beside their rows: sequences of defaults, triggers that somebody made.
WRITE_EFFECTS: Final = Query("server.write_effects", EffectFacts, """
SELECT 'sequence'      AS kind,
       s.relname::text AS name,
       t.relname::text AS on_table
FROM pg_class AS t
JOIN pg_depend AS d ON d.refobjid = t.oid AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass
JOIN pg_class AS s  ON s.oid = d.objid AND s.relkind = 'S'
WHERE t.relname = ANY ($1::text[])
  AND t.relkind IN ('r', 'p')
UNION ALL
SELECT 'trigger', g.tgname::text, t.relname::text
FROM pg_class AS t
JOIN pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal
WHERE t.relname = ANY ($1::text[])
ORDER BY on_table, kind, name
""")
