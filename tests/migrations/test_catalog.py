"""What the migrations make: the same after every way up and back, on every server; and what somebody else changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from agentmem_store import embedded, errors, migrations
from agentmem_store.migrations import fingerprint, problems
from tests.migrations.planting import ask, connected, plant, table
from tests.migrations.versions import MAJORS, server_of
from tests.servers import admin, on_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SHIPPED = migrations.discover(migrations.sql_root())
TRACKS = list(dict.fromkeys(step.track for step in SHIPPED))
# Tracks beside core may need what not every server has.
NEEDS = {"vector": "vector"}


@pytest.fixture(scope="module", params=MAJORS)
def version(request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of a server of each version."""
    with server_of(request.param) as dsn:
        yield dsn


@pytest.fixture
async def place(version: str) -> AsyncIterator[str]:
    """The DSN of a fresh database there."""
    await admin(version, "CREATE DATABASE fresh TEMPLATE template0")
    yield on_database(version, "fresh")
    await admin(version, "DROP DATABASE fresh WITH (FORCE)")


async def catalog(dsn: str) -> dict[str, str]:
    async with connected(dsn) as connection:
        return await fingerprint.of(connection, None)


@pytest.mark.parametrize("track", TRACKS)
async def test_every_step_up_down_and_up_again_leaves_the_same_catalog(place, track):
    extension = NEEDS.get(track)
    if extension and not await ask(place, "SELECT 1 FROM pg_available_extensions WHERE name = $1", extension):
        pytest.skip(f"the server has no extension {extension}, which the track {track} needs")
    if track != "core":
        await migrations.up(place)
    for step in (step for step in SHIPPED if step.track == track):
        before = await catalog(place)
        await migrations.to(place, step.version, track=track)
        after = await catalog(place)
        assert after != before
        await migrations.down(place, track=track)
        assert await catalog(place) == before
        await migrations.to(place, step.version, track=track)
        assert await catalog(place) == after
    whole = await catalog(place)
    await migrations.to(place, 0, track=track)
    await migrations.up(place, tracks=[track])
    assert await catalog(place) == whole


async def test_a_schema_that_nobody_touched_is_as_its_migrations_make_it(place):
    await migrations.up(place)
    await migrations.verify_live(place)


CHANGES = {
    "ALTER TABLE agentmem.users ADD COLUMN note text": "unexpected: column agentmem.users.note",
    "DROP TABLE agentmem.block_values": "missing: table agentmem.block_values",
    "ALTER TABLE agentmem.users ALTER COLUMN name TYPE varchar(300)": "different: column agentmem.users.name",
    "ALTER TABLE agentmem.users ALTER COLUMN status DROP DEFAULT": "different: column agentmem.users.status",
    "ALTER TABLE agentmem.users ALTER COLUMN timezone DROP NOT NULL": "different: column agentmem.users.timezone",
    "ALTER TABLE agentmem.users DROP CONSTRAINT users_status_known": "missing: constraint users_status_known on",
    "DROP INDEX agentmem.users_by_age; CREATE INDEX users_by_age ON agentmem.users (organization_id)": (
        "different: index agentmem.users_by_age"
    ),
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'agentmem.users_by_age'::regclass": (
        "different: index agentmem.users_by_age: is CREATE INDEX users_by_age"
    ),
    "ALTER TABLE agentmem.users ENABLE ROW LEVEL SECURITY": "different: table agentmem.users",
    "CREATE POLICY p ON agentmem.users USING (true)": "unexpected: policy p on agentmem.users",
    "CREATE FUNCTION agentmem.f() RETURNS int LANGUAGE sql AS 'SELECT 1'": "unexpected: function agentmem.f()",
    "CREATE TYPE agentmem.mood AS ENUM ('sad')": "unexpected: type agentmem.mood",
    "CREATE SEQUENCE agentmem.s": "unexpected: sequence agentmem.s",
    "CREATE VIEW agentmem.v AS SELECT 1 AS one": "unexpected: table agentmem.v",
}


async def test_whatever_somebody_else_changed_is_told_object_by_object(migrated):
    await migrations.verify_live(migrated)
    for change in CHANGES:
        await ask(migrated, "SELECT 1")
        async with connected(migrated) as connection:
            await connection.execute(change)
    with pytest.raises(problems.MigrationSchemaChanged, match=r"differs in \d+ objects") as told:
        await migrations.verify_live(migrated)
    for line in CHANGES.values():
        assert any(difference.startswith(line) for difference in told.value.differences), line
    assert "INVALID" in next(line for line in told.value.differences if "users_by_age" in line)
    assert await ask(migrated, "SELECT count(*) FROM pg_database WHERE datname LIKE 'agentmem_scratch%'") == 0


async def test_tracks_are_replayed_in_the_order_in_which_they_were_applied(empty_database, root):
    table(root, "aside/0001_z")
    await migrations.up(empty_database, tracks=["aside"], root=root)
    plant(root, "core/0004_d", "DROP TABLE z")
    await migrations.up(empty_database, root=root)
    await migrations.verify_live(empty_database, root=root)


async def test_without_the_right_to_create_databases_an_embedded_server_takes_its_place(migrated):
    async with connected(migrated) as connection:
        await connection.execute(
            "CREATE ROLE plain LOGIN; GRANT USAGE ON SCHEMA agentmem TO plain;"
            "GRANT SELECT ON ALL TABLES IN SCHEMA agentmem TO plain"
        )
    try:
        found = await differences(migrated.replace("//postgres@", "//plain@"))
        # A server of another version tells some things in other words.
        assert not found or await ask(migrated, "SELECT current_setting('server_version_num') < '180000'"), found
    finally:
        await ask(migrated, "DROP OWNED BY plain")
        await ask(migrated, "DROP ROLE plain")


async def differences(dsn: str) -> tuple[str, ...]:
    try:
        await migrations.verify_live(dsn)
    except problems.MigrationSchemaChanged as told:
        return told.differences
    return ()


async def test_without_either_it_says_what_to_do(migrated, monkeypatch):
    async with connected(migrated) as connection:
        await connection.execute("CREATE ROLE bare LOGIN; GRANT USAGE ON SCHEMA agentmem TO bare")
        await connection.execute("GRANT SELECT ON agentmem.schema_migrations TO bare")

    def missing() -> None:
        raise errors.ConfigurationError("the embedded server is not installed")

    monkeypatch.setattr(embedded.binaries, "package", missing)
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    try:
        with pytest.raises(problems.MigrationNoScratch, match=r"ALTER ROLE … CREATEDB, or install"):
            await migrations.verify_live(migrated.replace("//postgres@", "//bare@"))
    finally:
        monkeypatch.undo()
        await ask(migrated, "DROP OWNED BY bare")
        await ask(migrated, "DROP ROLE bare")
