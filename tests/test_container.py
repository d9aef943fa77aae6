"""The container that --postgres=container runs on: a real one, started here where Docker answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agentmem_store import migrations
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import organizations
from tests.conftest import container_server
from tests.servers import CONTAINER_IMAGE, why_no_docker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The container of this run, else one of its own where the image is there: an ordinary run pulls none."""
    if request.config.getoption("--postgres") == "container":
        yield request.getfixturevalue("server")
        return
    if reason := why_no_docker(image=CONTAINER_IMAGE):
        pytest.skip(f"no container of {CONTAINER_IMAGE} here: {reason}")
    with container_server() as dsn:
        yield dsn


async def test_a_database_in_a_container_is_migrated_written_and_read(empty_database: str) -> None:
    applied = await migrations.up(empty_database)
    assert applied
    async with Database(empty_database, DEVELOPMENT) as db:
        created = await organizations.create(db, NewOrganization(name="in a container"))
    async with Database(empty_database, DEVELOPMENT) as db:
        assert await organizations.get(db, created.id) == created
