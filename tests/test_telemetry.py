from __future__ import annotations

from structlog.testing import capture_logs

from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, organizations

SECRET = "planted-secret"


async def test_a_slow_statement_is_one_event_without_a_value(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(slow_query_ms=0)) as db:
        organization = await organizations.create(db, NewOrganization(name=SECRET))
        with capture_logs() as logs:
            await agents.create(db.tenant(organization.id), NewAgent(name=SECRET))
    (event,) = logs
    assert SECRET not in repr(event)
    assert event.pop("duration_ms") > 0
    assert event.pop("wait_ms") >= 0
    assert event == {"event": "agentmem.query.slow", "log_level": "warning", "query": "agents.create", "rows": 1}


async def test_a_fast_statement_is_not_logged(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(slow_query_ms=60_000)) as db:
        with capture_logs() as logs:
            assert await organizations.count(db) == 0
    assert logs == []
