"""Every question runs, in a tiny size; what is held is what comes out, never how long it took."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import ground
from bench.peers import NAMES, opened
from bench.peers.ours import Ours
from bench.peers.raw import Recorder, Replay
from bench.questions import QUESTIONS, asks, ceiling
from bench.running import ask
from bench.sizes import TINY
from bench.targets import judge
from tests.servers import admin

if TYPE_CHECKING:
    from bench.ground import Ground

ROOT = Path(__file__).parent.parent.parent
# What an extra's package is imported as, where that is another name.
MODULES = {"langgraph-checkpoint": "langgraph", "langgraph-checkpoint-postgres": "langgraph"}


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_question_is_answered(filled: Ground, name: str) -> None:
    answer = await ask(name, filled)
    assert (answer.failed, answer.skipped) == (None, None)
    assert answer.asks.endswith(("?", "."))
    assert answer.cases
    for case in answer.cases:
        assert case.contenders
        for contender in case.contenders:
            assert {len(rounds) for rounds in contender.rounds.values()} == {filled.size.rounds}
            assert all(value > 0 for rounds in contender.rounds.values() for value in rounds)
    for verdict in judge([answer]):
        if any(verdict.target.startswith(case.name) for case in answer.cases):
            assert verdict.value is not None


async def test_every_peer_takes_part(filled: Ground) -> None:
    answer = await ask("append", filled)
    assert {contender.name for contender in answer.cases[0].contenders} == set(NAMES)


async def test_a_context_is_one_statement(filled: Ground) -> None:
    answer = await ask("context", filled)
    assert answer.cases[-1].rounds("ours", "count") == [1] * filled.size.rounds


async def test_raw_has_the_session_of_ours(filled: Ground) -> None:
    """Who it is apart, there is no setting in which the limit differs from what it is the limit of."""
    settings = "SELECT name, setting FROM pg_settings WHERE source = 'client' AND name <> 'application_name'"
    async with filled.place() as place, place.open(filled.config) as db, opened("raw", place, filled.config) as raw:
        async with db.connection() as ours:
            expected = await ours.fetch(settings)
        assert await raw._connection.fetch(settings) == expected
        assert {"plan_cache_mode", "jit"} <= {row["name"] for row in expected}


DURABLE = """
CREATE TABLE public.seen (synchronous_commit text);
CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.seen VALUES (current_setting('synchronous_commit'));
    RETURN NEW;
END $$;
CREATE TRIGGER see BEFORE INSERT ON agentmem.messages FOR EACH ROW EXECUTE FUNCTION public.see();
"""


async def test_what_each_peer_writes_is_as_durable_as_the_server_has_it(filled: Ground) -> None:
    async with filled.place() as place, place.connection() as connection:
        await connection.execute(DURABLE)
        for name in NAMES:
            async with opened(name, place, filled.config) as peer:
                if name == "LangGraph":
                    trigger = "CREATE TRIGGER see BEFORE INSERT ON store FOR EACH ROW EXECUTE FUNCTION public.see()"
                    await connection.execute(trigger)
                await connection.execute("TRUNCATE public.seen")
                await peer.append(0)
            seen = [row[0] for row in await connection.fetch("SELECT synchronous_commit FROM public.seen")]
            assert (name, seen) == (name, [await connection.fetchval("SHOW synchronous_commit")])


async def test_peers_return_the_same_rows(filled: Ground) -> None:
    names = ("ours", "raw", "idiom", "ORM", "psycopg")
    async with filled.peers(*names) as peers:
        assert len({(await peers[name].get(1)).id for name in ("ours", "idiom", "ORM", "psycopg")}) == 1
        recent = [await peers[name].recent(0) for name in ("ours", "idiom", "ORM", "psycopg")]
        assert [[message.id for message in rows] for rows in recent] == [[message.id for message in recent[0]]] * 4
        page = (await peers["ours"].page(0)).items
        assert [memory.id for memory in await peers["idiom"].page(0)] == [memory.id for memory in page]
        assert len(await peers["raw"].page(0)) in {len(page), len(page) + 1}


async def test_what_a_killed_run_left_is_dropped_and_a_running_one_is_spared(server: str) -> None:
    async with ground.opened(server, TINY) as running:
        left = ("agentmem_bench_00000001", "agentmem_bench_00000001_7")
        for name in left:
            await admin(server, f'CREATE DATABASE "{name}"')
        async with ground.opened(server, TINY) as other, other.place() as place, place.connection() as connection:
            there = {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}
    assert not there & set(left)
    assert {running.template, other.template} <= there


async def test_batches_are_stored(filled: Ground) -> None:
    async with filled.place() as place, place.connection() as connection:
        for name in ("ours", "raw", "idiom", "ORM", "psycopg"):
            before = await connection.fetchval("SELECT count(*) FROM agentmem.memories")
            async with opened(name, place, filled.config) as peer:
                await peer.store(peer.make(3))
            learned = 1 if name == "raw" else 0  # it listens to ours once
            assert await connection.fetchval("SELECT count(*) FROM agentmem.memories") == before + 3 + learned


async def test_a_replay_sends_what_ours_sent_with_other_values(filled: Ground) -> None:
    async with filled.place() as place, place.ours(filled.config) as scope, place.connection() as connection:
        recorder = Recorder(connection)
        ours = Ours(scope.on(recorder), place.world)  # type: ignore[arg-type]
        first, second = place.world.agent_ids[:2]
        await ours.get(0)
        assert len(recorder.sent) == 1
        replay = Replay(connection, recorder.sent[0], first)
        assert [row["id"] for row in await replay(second)] == [second]
        with pytest.raises(ValueError, match="stands once"):
            Replay(connection, recorder.sent[0], "nowhere")


async def test_without_pgbench_the_ceiling_is_skipped(filled: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "find_pgbench", lambda: None)
    answer = await ask("ceiling", filled)
    assert (answer.failed, answer.cases) == (None, [])
    assert answer.skipped
    assert "pgbench" in answer.skipped


async def test_a_question_that_fails_says_so_and_keeps_what_it_found(filled: Ground, monkeypatch) -> None:
    async def broken(ground: Ground):
        async for case in QUESTIONS["observer"](ground):
            yield case
        raise OSError("the disk is gone")

    monkeypatch.setitem(QUESTIONS, "broken", broken)
    broken.__doc__ = "Does it break?"
    answer = await ask("broken", filled)
    assert (answer.failed, len(answer.cases)) == ("OSError: the disk is gone", 1)


def test_every_question_asks_something_in_one_line() -> None:
    for name in QUESTIONS:
        assert asks(name)


def test_every_dependency_of_the_extra_is_imported() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    names = {re.split(r"[\[<>=~!; ]", entry)[0] for entry in extras["bench"]} - {"agentmem-store"}
    imported = {
        ((node.module if isinstance(node, ast.ImportFrom) else alias.name) or "").split(".")[0]
        for path in [*(ROOT / "bench").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {MODULES.get(name, name.replace("-", "_")) for name in names} <= imported
