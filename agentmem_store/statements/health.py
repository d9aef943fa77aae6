"""Statements that look at the server. They read catalogs and statistics only, and no statement's text."""

from __future__ import annotations

from typing import Final

from agentmem_store.models.health import Activity, Blocked, Capability, Replication, Room, ServerFacts, ServerState
from agentmem_store.query import Query

__all__ = [
    "ACTIVITY",
    "BLOCKED",
    "CAPABILITIES",
    "FACTS",
    "INVALID_INDEXES",
    "REPLICATION",
    "ROOM",
    "STATE",
    "TRANSACTION_AGE",
]

STATE: Final = Query("server.state", ServerState, """
SELECT pg_is_in_recovery()                                       AS in_recovery,
       current_setting('default_transaction_read_only')::boolean AS read_only
""")

FACTS: Final = Query("server.facts", ServerFacts, """
SELECT current_setting('server_version_num')::integer                             AS version,
       split_part(current_setting('server_version'), ' ', 1)                      AS version_name,
       current_setting('server_encoding')                                         AS encoding,
       d.datctype::text                                                           AS ctype,
       extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS uptime_s
FROM pg_database AS d
WHERE d.datname = current_database()
""")

# reserved_connections is of PostgreSQL 16.
ROOM: Final = Query("server.room", Room, """
SELECT current_setting('max_connections')::integer
       - current_setting('superuser_reserved_connections')::integer
       - coalesce(current_setting('reserved_connections', true)::integer, 0) AS room,
       count(a.pid)                                                          AS connected
FROM pg_stat_activity AS a
WHERE a.backend_type = 'client backend'
""")

# Transactions since the oldest that is not frozen.
TRANSACTION_AGE: Final = Query("server.transaction_age", int, """
SELECT age(d.datfrozenxid)
FROM pg_database AS d
WHERE d.datname = current_database()
""")

# Indexes of our schema that were not built to the end: paid for at every write, used by no read.
INVALID_INDEXES: Final = Query("server.invalid_indexes", str, """
SELECT c.relname::text
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'agentmem'
  AND NOT i.indisvalid
ORDER BY c.relname
""")

# $1 the names. In their order.
CAPABILITIES: Final = Query("server.capabilities", Capability, """
SELECT wanted.name,
       (SELECT e.extversion
        FROM pg_extension AS e
        WHERE e.extname = wanted.name)            AS installed,
       (SELECT a.default_version
        FROM pg_available_extensions AS a
        WHERE a.name = wanted.name)               AS available
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
ORDER BY wanted.place
""")

# $1 from how many seconds on a transaction is long.
ACTIVITY: Final = Query("server.activity", Activity, """
WITH long AS (
    SELECT a.pid,
           a.application_name,
           extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
      AND a.pid <> pg_backend_pid()
      AND a.backend_type = 'client backend'
      AND a.xact_start < clock_timestamp() - $1::float8 * interval '1 second'
)
SELECT count(long.pid)                                                  AS long,
       coalesce(max(long.seconds), 0)                                   AS longest_s,
       (array_agg(long.pid ORDER BY long.seconds DESC))[1]              AS pid,
       (array_agg(long.application_name ORDER BY long.seconds DESC))[1] AS application
FROM long
""")

# pg_blocking_pids costs a look at all locks, so it is asked for the longest waiting one only.
BLOCKED: Final = Query("server.blocked", Blocked, """
WITH blocked AS (
    SELECT l.pid,
           extract(epoch FROM clock_timestamp() - min(l.waitstart))::float8 AS seconds
    FROM pg_locks AS l
    JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE NOT l.granted
      AND a.datname = current_database()
    GROUP BY l.pid
),
holder AS (
    SELECT (pg_blocking_pids(longest.pid))[1] AS pid
    FROM (SELECT b.pid FROM blocked AS b ORDER BY b.seconds DESC NULLS LAST, b.pid LIMIT 1) AS longest
)
SELECT (SELECT count(b.pid) FROM blocked AS b)                 AS blocked,
       coalesce((SELECT max(b.seconds) FROM blocked AS b), 0)  AS longest_s,
       (SELECT h.pid FROM holder AS h)                         AS pid,
       (SELECT a.application_name
        FROM pg_stat_activity AS a
        WHERE a.pid = (SELECT h.pid FROM holder AS h))         AS application
""")

# A replica that has replayed all it received is not behind, however long ago the last transaction was. The position is
# chosen within the aggregate: a replica must not be asked where it writes.
REPLICATION: Final = Query("server.replication", Replication, """
SELECT count(r.pid)                                                                      AS replicas,
       CASE WHEN NOT pg_is_in_recovery()
            THEN coalesce(extract(epoch FROM max(r.replay_lag)), 0)
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
            THEN 0
            ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0)
       END::float8                                                                       AS lag_s,
       CASE WHEN pg_is_in_recovery()
            THEN coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)
            ELSE coalesce(max(CASE WHEN NOT pg_is_in_recovery()
                                   THEN pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)
                              END), 0)
       END::bigint                                                                       AS lag_bytes
FROM pg_stat_replication AS r
""")
