"""What a schema is made of, a line for each object; and whether the live one is what the migrations make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentmem_store import connect
from agentmem_store.migrations import ledger, operations, problems, runner, scratch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

    from agentmem_store.migrations.files import Migration
    from agentmem_store.migrations.ledger import Applied, Connection

__all__ = ["differences", "of", "replay", "verify_live"]

# Left out: what belongs to an extension; the ledger and the state of backfills, which are not what migrations make;
# NOT NULL as a constraint, which only newer servers list, and which each column tells; the numbers of columns, which
# depend on what was dropped before.
_CATALOG: Final = """
WITH spaces AS (
    SELECT n.oid, n.nspname
      FROM pg_namespace AS n
     WHERE CASE WHEN $1::text[] IS NULL THEN n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                ELSE n.nspname = ANY ($1) END
), owned AS (
    SELECT d.classid, d.objid FROM pg_depend AS d WHERE d.deptype = 'e'
), relations AS (
    SELECT c.oid, c.relname, c.relkind, format('%I.%I', s.nspname, c.relname) AS name, c.relpersistence,
           c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.relispartition, c.relpartbound
      FROM pg_class AS c
      JOIN spaces   AS s ON s.oid = c.relnamespace
     WHERE NOT (s.nspname = 'agentmem' AND c.relname ~ '^schema_(migrations|backfills)')
       AND (c.tableoid, c.oid) NOT IN (SELECT o.classid, o.objid FROM owned AS o)
)
SELECT 'table ' || r.name,
       concat_ws(' ', r.relkind, r.relpersistence, CASE WHEN r.relrowsecurity THEN 'row level security' END,
                 CASE WHEN r.relforcerowsecurity THEN 'forced' END, r.reloptions::text,
                 pg_get_expr(r.relpartbound, r.oid), CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END)
  FROM relations AS r
 WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f')
 UNION ALL
SELECT format('column %s.%I', r.name, a.attname),
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || a.attcollation::regcollation END,
                 'identity ' || nullif(a.attidentity::text, ''), 'generated ' || nullif(a.attgenerated::text, ''),
                 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
  FROM relations         AS r
  JOIN pg_attribute      AS a ON a.attrelid = r.oid
  JOIN pg_type           AS t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef   AS d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
 WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND a.attnum > 0
   AND NOT a.attisdropped
 UNION ALL
SELECT format('constraint %I on %s', k.conname, r.name),
       pg_get_constraintdef(k.oid) || CASE WHEN k.convalidated THEN '' ELSE ' (not validated)' END
  FROM relations     AS r
  JOIN pg_constraint AS k ON k.conrelid = r.oid
 WHERE k.contype <> 'n'
 UNION ALL
SELECT format('index %s', r.name),
       concat_ws(' ', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN 'INVALID' END,
                 CASE WHEN i.indisclustered THEN 'clustered' END,
                 CASE WHEN i.indisreplident THEN 'replica identity' END)
  FROM relations AS r
  JOIN pg_index  AS i ON i.indexrelid = r.oid
 UNION ALL
SELECT format('sequence %s', r.name),
       format('%s from %s to %s start %s by %s', format_type(q.seqtypid, NULL), q.seqmin, q.seqmax, q.seqstart,
              q.seqincrement)
  FROM relations   AS r
  JOIN pg_sequence AS q ON q.seqrelid = r.oid
 UNION ALL
SELECT format('trigger %I on %s', t.tgname, r.name), concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
  FROM relations  AS r
  JOIN pg_trigger AS t ON t.tgrelid = r.oid
 WHERE NOT t.tgisinternal
 UNION ALL
SELECT format('policy %I on %s', p.polname, r.name),
       concat_ws(' ', p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid),
                 'CHECK ' || pg_get_expr(p.polwithcheck, p.polrelid),
                 (SELECT string_agg(u.role::regrole::text, ', ' ORDER BY u.role::regrole::text)
                    FROM unnest(p.polroles) AS u (role)
                   WHERE u.role <> 0))
  FROM relations AS r
  JOIN pg_policy AS p ON p.polrelid = r.oid
 UNION ALL
SELECT format('function %s', f.oid::regprocedure),
       CASE WHEN f.prokind = 'a' THEN 'aggregate' ELSE pg_get_functiondef(f.oid) END
  FROM pg_proc AS f
  JOIN spaces  AS s ON s.oid = f.pronamespace
 WHERE ('pg_proc'::regclass, f.oid) NOT IN (SELECT o.classid, o.objid FROM owned AS o)
 UNION ALL
SELECT format('type %I.%I', s.nspname, t.typname),
       concat_ws(' ', t.typtype, format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typdefault,
                 (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
                    FROM pg_enum AS e
                   WHERE e.enumtypid = t.oid))
  FROM pg_type AS t
  JOIN spaces  AS s ON s.oid = t.typnamespace
 WHERE t.typtype IN ('d', 'e', 'r')
   AND ('pg_type'::regclass, t.oid) NOT IN (SELECT o.classid, o.objid FROM owned AS o)
"""


async def of(connection: Connection, schemas: Sequence[str] | None = ("agentmem",)) -> dict[str, str]:
    """Describe every object of some schemas.

    Args:
        connection: in no transaction.
        schemas: their names; None for all but the server's own.

    Returns:
        what each object is, by kind and name, such as ``index agentmem.users_by_age``.
    """
    async with connection.transaction(readonly=True):
        await connection.execute("SET LOCAL search_path = pg_catalog")  # so that every name is told in full
        return dict(sorted((row[0], row[1]) for row in await connection.fetch(_CATALOG, schemas)))


def differences(expected: Mapping[str, str], live: Mapping[str, str]) -> list[str]:
    """Tell, a line for each object, what `live` lacks, what it has beyond `expected`, and what is different."""
    lines = [f"missing: {name}" for name in expected if name not in live]
    lines += [f"unexpected: {name}" for name in live if name not in expected]
    return lines + [
        f"different: {name}: is {live[name]}, should be {expected[name]}"
        for name in expected
        if live.get(name, expected[name]) != expected[name]
    ]


async def replay(connection: Connection, migrations: Sequence[Migration], applied: Sequence[Applied]) -> None:
    """Apply, in an empty database, the migrations that a ledger has, in the order in which they were applied."""
    files = {(step.track, step.version): step for step in migrations}
    await ledger.create(connection)
    for row in sorted(applied, key=lambda row: row.applied_at):
        await runner.apply(connection, files[row.track, row.version])


async def verify_live(dsn: str, *, root: Traversable | None = None) -> None:
    """Hold the live schema against what the applied migrations make in a scratch database.

    Compared are tables, columns with types and defaults, constraints, indexes with predicate and validity, sequences,
    triggers, policies, functions and types of the schema agentmem; not owners and privileges, nor what stands in rows.

    Args:
        dsn: as for `up`. Its role needs CREATEDB, else the extra ``embedded`` has to be installed.
        root: as for `up`.

    Raises:
        MigrationSchemaChanged: they differ; `differences` has a line for each object.
        MigrationDrift, MigrationNewer: the ledger does not fit the files, so that there is nothing to hold it against.
        MigrationUnfinished: a file without a transaction stopped half-way.
        MigrationNoScratch: there is no scratch database to be had.
        MigrationFilesInvalid, MigrationFailed, ConnectError, DatabaseError: as for `up`.
    """
    migrations = await operations.discovered(root)
    async with connect.serving(dsn) as served, runner.connection(served) as live:
        now = (await operations.compared(live, migrations, ())).verified()
        refuse_unfinished(now.applied)
        async with scratch.database(live, served) as connection:
            await replay(connection, migrations, now.applied)
            found = differences(await of(connection), await of(live))
    if found:
        failure = problems.MigrationSchemaChanged(
            f"the live schema differs in {len(found)} objects from what its migrations make: {'; '.join(found[:3])}"
            f"{'; …' if len(found) > 3 else ''}; undo that, or make it a migration"  # noqa: PLR2004 - some, as examples
        )
        failure.differences = tuple(found)
        raise failure


def refuse_unfinished(applied: Sequence[Applied]) -> None:
    """Raise MigrationUnfinished where a file without a transaction stopped half-way."""
    if half := [f"{row}/{row.unfinished}.sql" for row in applied if row.unfinished]:
        raise problems.MigrationUnfinished(f"{', '.join(half)}: stopped half-way; finish it first: migrate up")
