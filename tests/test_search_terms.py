"""What keeps searches in shape: counts of words, and the language of what is stored."""

from __future__ import annotations

import asyncio
import random
import re
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agentmem_store import errors, search
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, memories, messages, organizations, search_terms
from agentmem_store.search import LanguageReport, RefreshReport, refresh, refresh_stale, set_language
from agentmem_store.statements import reindexing
from agentmem_store.statements import search_terms as statements
from tests.killing import killed
from tests.populate import contents, populate
from tests.repositories.plans import generic_plan, rows_read, scans_of

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from agentmem_store.database import Database
    from agentmem_store.scope import Root, Scope

    Connection = asyncpg.Connection[Any]

AT_ONCE = timedelta(0)
WORDS = """
    SELECT f.source || ' ' || f.lexeme, f.frequency
    FROM agentmem.term_frequencies AS f
    WHERE f.agent_id = $1
"""
LANGUAGES = "SELECT DISTINCT t.language FROM agentmem.{} AS t WHERE t.organization_id = $1"


@pytest.fixture
def five_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents are large from five rows on, and words common from two."""
    monkeypatch.setattr(search_terms, "LARGE", 5)
    monkeypatch.setattr(search_terms, "_COMMON", 2)
    monkeypatch.setattr(search, "LARGE", 5)


async def fill(scope: Scope, agent_id: UUID, *texts: str) -> None:
    await memories.create_many(scope, [NewMemory(agent_id=agent_id, content=text) for text in texts])
    await messages.append(scope, agent_id, [NewMessage(role="user", text=text) for text in texts])


async def words(connection: Connection, agent_id: UUID) -> dict[str, int]:
    return {row[0]: row[1] for row in await connection.fetch(WORDS, agent_id)}


async def languages(connection: Connection, organization_id: UUID) -> set[str]:
    tables = ("messages", "memories")
    return {row[0] for table in tables for row in await connection.fetch(LANGUAGES.format(table), organization_id)}


@pytest.mark.usefixtures("five_is_large")
async def test_a_refresh_counts_what_is_common_and_forgets_what_is_not(scope: Scope, connection: Connection) -> None:
    agent = await agents.create(scope, NewAgent(name="bot"))
    rows = await memories.create_many(
        scope, [NewMemory(agent_id=agent.id, content=f"tea {n % 2} {n}x") for n in range(6)]
    )
    assert await refresh(scope, agent.id) == 4
    counted = {"memories ": 6, "memories tea": 6, "memories 0": 3, "memories 1": 3}
    assert await words(connection, agent.id) == counted
    await memories.delete(scope, rows[0].id)
    await fill(scope, agent.id, "go", "milk")
    assert await refresh(scope, agent.id) == 4
    assert await words(connection, agent.id) == {
        "memories ": 7, "memories tea": 5, "memories 0": 2, "memories 1": 3
    }  # fmt: skip
    await memories.delete_many(scope, [row.id for row in rows])
    assert await refresh(scope, agent.id) == 0
    assert await words(connection, agent.id) == {}


async def test_a_refresh_is_of_an_agent_that_is_there(root: Root, scope: Scope, other: Scope) -> None:
    agent = await agents.create(scope, NewAgent(name="bot"))
    assert await refresh(scope, agent.id) == 0
    for tenant, agent_id in ((scope, uuid4()), (other, agent.id)):
        with pytest.raises(errors.NotFound):
            await refresh(tenant, agent_id)
    await organizations.delete(root, scope.organization_id)
    with pytest.raises(errors.NotFound):
        await refresh(scope, agent.id)
    assert await refresh_stale(scope) == RefreshReport(0, 0)


@pytest.mark.usefixtures("five_is_large")
async def test_all_agents_that_need_it_are_refreshed(scope: Scope, other: Scope, connection: Connection) -> None:
    large, fresh, small, deleted = await agents.create_many(scope, [NewAgent(name=str(n)) for n in range(4)])
    for agent in (large, fresh, deleted):
        await fill(scope, agent.id, *["tea"] * 5)
    foreign = await agents.create(other, NewAgent(name="x"))
    await fill(other, foreign.id, *["tea"] * 5)
    await fill(scope, small.id, "tea")
    await refresh(scope, fresh.id)
    await agents.delete(scope, deleted.id)
    told: list[tuple[int, int]] = []
    report = await refresh_stale(scope, on_progress=lambda done, of: told.append((done, of)))
    assert report == RefreshReport(agents=3, refreshed=1)
    assert told == [(1, 3), (2, 3), (3, 3), (3, 3)]
    assert await words(connection, large.id) == await words(connection, fresh.id) != {}
    for passed_over in (small, deleted, foreign):
        assert await words(connection, passed_over.id) == {}
    assert await refresh_stale(scope) == RefreshReport(3, 0)
    assert await refresh_stale(scope, older_than=AT_ONCE) == RefreshReport(3, 2)


@pytest.mark.usefixtures("five_is_large")
async def test_a_refresh_that_was_killed_goes_on_with_the_rest(
    db: Database, tenant: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_AGENTS", 2)
    made = await agents.create_many(tenant, [NewAgent(name=str(n)) for n in range(7)])
    for agent in made:
        await fill(tenant, agent.id, *["tea"] * 5)
    assert await killed(tenant, refresh_stale, 3, 0)
    assert await refresh_stale(tenant) == RefreshReport(agents=7, refreshed=3)
    async with db.connection() as connection:
        assert all([await words(connection, agent.id) for agent in made])


@pytest.mark.usefixtures("five_is_large")
async def test_refreshes_at_the_same_time_and_writers_do_not_fail(db: Database, tenant: Scope) -> None:
    people = await populate(tenant)

    async def write(number: int) -> None:
        for turn in range(10):
            await fill(tenant, people.guide.id, f"word{number} word{turn}")

    async def count() -> None:
        for _ in range(10):
            await refresh(tenant, people.guide.id)

    await asyncio.gather(*(write(n) for n in range(2)), *(count() for _ in range(3)))
    await refresh(tenant, people.guide.id)
    async with db.connection() as connection:
        assert (await words(connection, people.guide.id))["messages "] == 8 + 20


async def test_a_change_of_language_indexes_rows_anew_and_edits_none(
    root: Root, scope: Scope, other: Scope, connection: Connection
) -> None:
    agent = await agents.create(scope, NewAgent(name="bot"))
    await fill(scope, agent.id, "die Häuser", "a walk")
    await fill(other, (await agents.create(other, NewAgent(name="x"))).id, "die Häuser")
    deleted = (await memories.list(scope, limit=1)).items[0]
    await memories.delete(scope, deleted.id)
    before = await contents(connection, scope.organization_id)
    foreign = await contents(connection, other.organization_id)
    assert await messages.search(scope, agent.id, "Hauses") == []

    assert await set_language(scope, "german", batch_size=1) == LanguageReport(messages=2, memories=2, refreshed=0)

    assert [hit.message.text for hit in await messages.search(scope, agent.id, "Hauses")][:1] == ["die Häuser"]
    assert len(await memories.search(scope, "Hauses")) == 1
    after = await contents(connection, scope.organization_id)
    assert _unindexed(after["messages"]) == _unindexed(before["messages"])
    assert _unindexed(after["memories"]) == _unindexed(before["memories"])
    assert await contents(connection, other.organization_id) == foreign
    organization = await organizations.get(root, scope.organization_id)
    assert (organization.language, organization.version) == ("german", 2)
    assert await set_language(scope, "german") == LanguageReport(0, 0, 0)
    assert await organizations.get(root, scope.organization_id) == organization


def _unindexed(rows: list[str]) -> list[str]:
    """The rows as JSON, without what a change of language is there to change."""
    return sorted(re.sub(r'"language": "\w+"|"search": "[^"]*"', "", row) for row in rows)


async def test_what_was_stored_before_can_be_sent_again(root: Root, scope: Scope) -> None:
    new = NewOrganization(name="again")
    await organizations.create(root, new)
    scope = root.tenant(new.id)
    agent = await agents.create(scope, NewAgent(name="bot"))
    message, memory = NewMessage(role="user", text="walks"), NewMemory(agent_id=agent.id, content="walks")
    await messages.append(scope, agent.id, [message])
    await memories.create(scope, memory)
    await set_language(scope, "german")

    assert (await organizations.create(root, new)).language == "german"
    (row,) = await messages.append(scope, agent.id, [message])
    assert (row.version, row.language) == (1, "german")
    assert row.updated_at == row.created_at
    assert (await memories.create(scope, memory)).language == "german"


@pytest.mark.usefixtures("five_is_large")
async def test_words_are_counted_anew_in_the_new_language(scope: Scope, connection: Connection) -> None:
    agent = await agents.create(scope, NewAgent(name="bot"))
    await fill(scope, agent.id, *["Häuser"] * 5)
    await refresh(scope, agent.id)
    assert "memories hauser" in await words(connection, agent.id)
    assert (await set_language(scope, "german")).refreshed == 1
    assert {"memories haus", "messages haus"} <= set(await words(connection, agent.id))
    assert "memories hauser" not in await words(connection, agent.id)


async def test_a_change_of_language_that_was_killed_anywhere_is_finished_by_the_next(
    db: Database, tenant: Scope
) -> None:
    await populate(tenant)
    dice = random.Random(5)

    async def slowly(language: str, scope: Scope) -> LanguageReport:
        return await set_language(scope, language, batch_size=1)

    for number in range(10):
        language = ("german", "french")[number % 2]
        assert await killed(tenant, partial(slowly, language), dice.randrange(2, 30), number % 4)
    report = await set_language(tenant, "dutch")
    assert report.refreshed == 2
    # The server may run a statement whose caller is gone: beside this one, and then it gave a row its new language.
    assert 16 + 18 - 10 <= report.messages + report.memories <= 16 + 18
    async with db.connection() as connection:
        assert await languages(connection, tenant.organization_id) == {"dutch"}


async def test_a_change_of_language_reaches_what_others_write_meanwhile(db: Database, tenant: Scope) -> None:
    people = await populate(tenant)

    async def write(number: int) -> None:
        for turn in range(20):
            await fill(tenant, people.guide.id, f"{number} {turn}")

    writers = [asyncio.create_task(write(n)) for n in range(3)]
    for language in ("german", "french"):
        await set_language(tenant, language, batch_size=5)
    await asyncio.gather(*writers)
    await set_language(tenant, "french")
    async with db.connection() as connection:
        assert await languages(connection, tenant.organization_id) == {"french"}


@pytest.mark.own_sessions
async def test_the_last_of_two_changes_of_language_at_the_same_time_holds(db: Database, tenant: Scope) -> None:
    await populate(tenant, turns=20)
    both = await asyncio.gather(*(set_language(tenant, name, batch_size=2) for name in ("german", "french")))
    assert sum(report.messages for report in both) >= 80
    async with db.connection() as connection:
        assert await languages(connection, tenant.organization_id) == {
            (await organizations.get(db, tenant.organization_id)).language
        }


async def test_progress_is_told(scope: Scope) -> None:
    await populate(scope, turns=300)
    told: list[tuple[int, int]] = []
    await set_language(scope, "german", batch_size=500, on_progress=lambda done, of: told.append((done, of)))
    assert told == [(1000, 1218), (1218, 1218)]


async def test_what_is_no_language_or_age_or_size_is_refused(root: Root, scope: Scope) -> None:
    wrong: Any
    for wrong in ("", "x" * 64, "a\x00", None, 7):
        with pytest.raises(errors.ValidationError, match="language"):
            await set_language(scope, wrong)
    with pytest.raises(errors.ValidationError, match="language"):
        NewOrganization(name="x", language="x" * 64)
    for wrong in (0, 10_001, True):
        with pytest.raises(errors.ValidationError, match="batch_size"):
            await set_language(scope, "german", batch_size=wrong)
    for wrong in (timedelta(days=-1), timedelta(days=365_001), 7, None):
        with pytest.raises(errors.ValidationError, match="older_than"):
            await refresh_stale(scope, older_than=wrong)
    await organizations.delete(root, scope.organization_id)
    with pytest.raises(errors.NotFound):
        await set_language(scope, "german")


async def test_the_languages_are_those_that_the_server_stems(connection: Connection) -> None:
    body = await connection.fetchval("SELECT pg_get_functiondef('agentmem.search_words'::regproc)")
    assert set(re.findall(r"WHEN '(\w+)'", body)) == search.LANGUAGES


SEED = """
    INSERT INTO agentmem.organizations (id, name)
    SELECT uuid(md5('o' || n)), 'o' FROM generate_series(0, 999) AS n;
    INSERT INTO agentmem.agents (organization_id, id)
    SELECT uuid(md5('o' || n % 10)), uuid(md5('a' || n)) FROM generate_series(0, 999) AS n;
    INSERT INTO agentmem.messages (organization_id, id, agent_id, seq, role, text)
    SELECT uuid(md5('o' || n % 10)), uuid(md5('m' || n)), uuid(md5('a' || n % 100)), n + 1, 'user', 'tea'
    FROM generate_series(0, 9999) AS n;
    INSERT INTO agentmem.memories (organization_id, id, agent_id, content, hash)
    SELECT m.organization_id, m.id, m.agent_id, 'tea', repeat('0', 64) FROM agentmem.messages AS m;
    INSERT INTO agentmem.term_frequencies (organization_id, source, lexeme, agent_id, frequency)
    SELECT a.organization_id, 'messages', CASE WHEN n > 0 THEN 'w' || n ELSE '' END, a.id, 100
    FROM agentmem.agents AS a, generate_series(0, 9) AS n;
"""
QUERIES = (
    reindexing.MESSAGES, reindexing.MEMORIES, statements.LOCK, statements.DUE, statements.REFRESH_MESSAGES,
    statements.REFRESH_MEMORIES,
)  # fmt: skip


@pytest.mark.own_sessions
@pytest.mark.parametrize("is_empty", [False, True])
async def test_plans_read_by_an_index(db: Database, is_empty: bool) -> None:
    """Planned on a table in which the organization has a tenth of the rows, and planned before there were any."""
    async with db.connection() as connection, connection.transaction():
        if not is_empty:
            await connection.execute(SEED + "ANALYZE")
        for query in QUERIES:
            plan = await generic_plan(connection, query)
            assert "Seq Scan on" not in plan, f"{query.name}\n{plan}"


async def test_a_walk_reads_its_batch_and_no_more(db: Database) -> None:
    async with db.connection() as connection, connection.transaction():
        await connection.execute(SEED + "ANALYZE")
        tenant = await connection.fetchval("SELECT uuid(md5('o1'))")
        for table, query in (("messages", reindexing.MESSAGES), ("memories", reindexing.MEMORIES)):
            for language, changed in (("german", 10), ("german", 0)):
                await connection.execute("UPDATE agentmem.organizations SET language = $1", language)
                scans = await scans_of(connection, table, query, tenant, 10, search._LAST)
                assert sum(map(rows_read, scans)) <= 10 + 1 + 4 * changed, query.name
