"""Every public function that takes a vector or keeps one, called with another tenant's ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import context
from agentmem_store.repositories import embeddings, memories, messages
from tests.test_tenancy import attempt, calls, victim, working
from tests.vector.stored import MODEL, towards

if TYPE_CHECKING:
    import asyncpg

    from agentmem_store.scope import Scope
    from tests.test_tenancy import Call, Victim

__all__ = ["victim"]  # the fixture

SEARCHES = [
    case
    for case in calls({"memories": memories, "messages": messages, "context": context})
    if case.values[0][1] in {"search", "assemble"}
]
# reembed is left out: it refuses a transaction, and is made of pending and store.
KEEPS = [case for case in calls({"embeddings": embeddings}) if case.values[0][1] != "reembed"]


async def given(victim: Victim, call: Call) -> dict[str, Any]:
    """Embed the victim's rows, and return what a call is given beside its ids; a search the vector, always."""
    stored: dict[str, Any] = {"vectors": [towards(0)], "model": MODEL}
    await embeddings.store(victim.scope, "memories", [victim.ids["memory"]], **stored)
    await embeddings.store(victim.scope, "messages", [victim.ids["message"]], **stored)
    if call[0] != "embeddings":
        return {"embedding": towards(1), "model": MODEL}
    return {"source": "memories", "ids": [victim.ids["memory"]], "dimension": 384, **stored}


@pytest.mark.parametrize("call", SEARCHES + KEEPS)
async def test_a_foreign_tenant_finds_nothing_and_changes_nothing(
    victim: Victim, other: Scope, connection: asyncpg.Connection[Any], call: Call
) -> None:
    await attempt(other, victim, connection, call, **await given(victim, call))


@pytest.mark.parametrize("cases", [SEARCHES, KEEPS], ids=["searches", "keeps"])
async def test_the_same_calls_do_work_for_the_tenant_itself(victim: Victim, cases: list[Any]) -> None:
    more = await given(victim, cases[0].values[0])
    assert await working(victim, cases, **more) > 0.6
