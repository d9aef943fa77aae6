from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem_store import errors
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import Memory, NewMemory
from agentmem_store.models.users import NewUser
from agentmem_store.query import Query
from agentmem_store.repositories import agents, creation, memories, users
from agentmem_store.repositories.copying import Jsonb, copy_row
from agentmem_store.scope import Scope
from agentmem_store.statements import memories as statements
from tests.repositories.waiting import until_one_waits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

FUTURE = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two items be enough for a COPY."""
    monkeypatch.setattr(creation, "ARRAYS_MOST", 1)


@pytest.mark.usefixtures("copying")
async def test_a_copied_row_is_what_the_table_has(scope: Scope) -> None:
    agent = await agents.create(scope, NewAgent())
    user = await users.create(scope, NewUser(name="Mei"))
    tricky = [
        "\\N", "\\.", "\\", "tab\there", "line\nfeed\r\n", "\b\f\v", "ünï 咖啡 🫖", "'; --", '"quoted"', " spaced ",
    ]  # fmt: skip
    new = [
        *(NewMemory(content=text, memory_type=text[:50], metadata={text: [text, None, {}]}) for text in tricky),
        *(NewMemory(content="n", metadata={"n": n}) for n in (1e23, -1e16, 1.5e300, 1e-300, 2**70, -0.0, 1.0, True)),
        NewMemory(content="e+", metadata={"e+": "e+"}, importance=5e-324, score=-1.7976931348623157e308),
        NewMemory(content="whose", agent_id=agent.id, user_id=user.id, created_at=datetime(2, 1, 1, tzinfo=UTC)),
        NewMemory(content="when", expires_at=FUTURE, created_at=datetime(9998, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ]
    await assert_stored(scope, new, await memories.create_many(scope, new))


async def assert_stored(scope: Scope, new: Sequence[NewMemory], rows: Sequence[Memory]) -> None:
    """The rows are in the order of the items, and say what a read says of them, type for type."""
    assert [row.id for row in rows] == [item.id for item in new]
    for row in rows:
        stored = await memories.get(scope, row.id)
        assert row == stored
        assert same_types(row.model_dump(), stored.model_dump())


def same_types(one: Any, other: Any) -> bool:
    """Whether two equal values are made of the same types, so that 1 is not 1.0. The driver has a UUID of its own."""
    if isinstance(one, dict):
        return all(same_types(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return all(map(same_types, one, other))
    return type(one) is type(other) or isinstance(one, UUID)


STRING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=50)
TEXT = STRING.filter(bool)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | STRING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRING, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.usefixtures("copying")
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXT, st.dictionaries(STRING, JSON, max_size=3), st.floats(0, 1)), min_size=2, max_size=10))
async def test_whatever_is_copied_is_what_the_table_has(
    scope: Scope, given: list[tuple[str, dict[str, Any], float]]
) -> None:
    new = [NewMemory(content=c, memory_type=c, metadata=m, importance=i, score=-i) for c, m, i in given]
    await assert_stored(scope, new, await memories.create_many(scope, new))


@pytest.mark.own_sessions
@pytest.mark.usefixtures("copying")
async def test_a_copy_that_meets_a_racing_id_stores_the_rest_by_arrays(db: Database, tenant: Scope) -> None:
    new = [NewMemory(content=str(i)) for i in range(3)]
    async with tenant.transaction() as tx:
        raced = await memories.create(tx, new[0])
        whole = asyncio.create_task(memories.create_many(tenant, new))
        await until_one_waits(db)
    rows = await whole
    assert rows[0] == raced
    assert await memories.count(tenant) == 3


@pytest.mark.usefixtures("copying")
async def test_the_application_s_codecs_do_not_matter(dsn: str, tenant: Scope) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        new = [NewMemory(content=text, metadata={"k": ["v"]}) for text in "abc"]
        rows = await memories.create_many(tenant.on(connection), new)
    finally:
        await connection.close()
    assert await memories.get(tenant, rows[0].id) == rows[0]


async def test_a_copy_says_what_is_wrong_as_any_statement_does(tenant: Scope) -> None:
    statement = Query("memories.copy", int, statements.COPY)

    async def data(content: bytes) -> AsyncIterator[bytes]:
        yield content

    with pytest.raises(errors.UsageError, match="COPY runs within a transaction"):
        await tenant.copy(statement, data(b""))
    async with tenant.transaction() as tx:
        with pytest.raises(errors.DatabaseError) as caught:
            async with tx.transaction() as savepoint:
                await savepoint.copy(statement, data(b"secret"))
        assert (caught.value.query, caught.value.sqlstate) == ("memories.copy", "22P04")
        assert "secret" not in str(caught.value)
        assert (await memories.create(tx, NewMemory(content="the transaction goes on"))).version == 1
    with pytest.raises(errors.UsageError, match="finished"):
        await tx.copy(statement, data(b""))


def test_a_row_has_a_field_for_every_value() -> None:
    at = datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    row = copy_row((UUID(int=1), None, "é", Jsonb("{}"), 1.0, at))
    assert row == (
        b"\0\6"
        b"\0\0\0\x10" + bytes(15) + b"\1"
        b"\xff\xff\xff\xff"
        b"\0\0\0\2\xc3\xa9"
        b"\0\0\0\3\1{}"
        b"\0\0\0\x08\x3f\xf0\0\0\0\0\0\0"
        b"\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff"
    )
