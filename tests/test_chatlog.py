"""Chat logs: what is stored, what is known again, and how a bad file is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem_store import chatlog, errors
from agentmem_store.models.agents import Agent, NewAgent
from agentmem_store.models.messages import Message, NewMessage
from agentmem_store.repositories import agents, messages
from agentmem_store.scope import Scope

AGENT_ID = UUID("0190a5f0-0000-7000-8000-000000000001")


@pytest.fixture
async def agent(scope: Scope) -> Agent:
    return await agents.create(scope, NewAgent(name="planner"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chat.jsonl"


def said(content: object = "hello", **more: object) -> dict[str, object]:
    return {"role": "user", "content": content, **more}


def fill(file: Path, *lines: dict[str, object] | bytes) -> Path:
    """Write lines: objects as JSON, bytes as they are."""
    written = (line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines)
    file.write_bytes(b"".join(line + b"\n" for line in written))
    return file


async def stored(scope: Scope, agent: Agent) -> list[Message]:
    return await messages.recent(scope, agent.id, limit=1000)


async def refused(scope: Scope, agent: Agent, file: Path) -> str:
    """Load a file that cannot be; return the error after the directory's name."""
    with pytest.raises(chatlog.ChatFileInvalid) as caught:
        await chatlog.load(scope, agent.id, file)
    assert isinstance(caught.value, errors.ValidationError)
    assert (caught.value.path, "\n" in str(caught.value)) == (file, False)
    return str(caught.value).removeprefix(f"{file.parent}/")


async def test_every_field_of_a_line_is_stored_in_the_order_of_the_lines(
    scope: Scope, agent: Agent, file: Path
) -> None:
    own_id, step = uuid4(), "run 1"
    parts = [{"type": "text", "text": "看图"}, {"type": "image", "url": "file.png"}]
    fill(
        file,
        said("I take my coffee black ☕", name="Mei", created_at="2026-03-02T18:04:00+01:00", metadata={"turn": 1}),
        said(parts, id=str(own_id), group_id="g", sender_id="s", otid="o", step_id=step),
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}], "model": "m"},
        {"role": "tool", "text": "42", "tool_call_id": "c", "tool_returns": [42], "name": None},
        {"role": "system", "content": ""},
    )

    assert await chatlog.load(scope, agent.id, file) == (5, 5, 0)

    rows = await stored(scope, agent)
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert [row.role for row in rows] == ["user", "user", "assistant", "tool", "system"]
    assert [row.text for row in rows] == ["I take my coffee black ☕", None, None, "42", ""]
    first, second, third, fourth, _ = rows
    assert (first.name, first.created_at.isoformat()) == ("Mei", "2026-03-02T17:04:00+00:00")
    assert first.metadata == {"turn": 1}
    assert (second.id, second.content, second.group_id, second.step_id) == (own_id, parts, "g", step)
    assert (third.tool_calls, third.model, fourth.tool_returns, fourth.name) == ([{"id": "c"}], "m", [42], None)


async def test_the_same_file_again_stores_nothing_and_a_grown_one_its_new_lines(
    scope: Scope, agent: Agent, file: Path
) -> None:
    lines = [said("a", created_at="2026-01-01T00:00:00Z"), said("b"), said(["part"], metadata={"n": 1.5})]
    fill(file, *lines)
    assert await chatlog.load(scope, agent.id, file) == (3, 3, 0)
    before = await stored(scope, agent)

    assert await chatlog.load(scope, agent.id, file) == (3, 0, 3)
    fill(file, *lines, said("new"), said("b"))
    assert await chatlog.load(scope, agent.id, str(file)) == (5, 2, 3)

    rows = await stored(scope, agent)
    assert rows[:3] == before
    assert [(row.seq, row.text) for row in rows[3:]] == [(4, "new"), (5, "b")]


async def test_repeated_lines_are_told_apart_by_their_occurrence(scope: Scope, agent: Agent, file: Path) -> None:
    fill(file, said("ok"), said("go"), said("ok"), said("ok"))
    assert await chatlog.load(scope, agent.id, file) == (4, 4, 0)
    assert await chatlog.load(scope, agent.id, file) == (4, 0, 4)
    fill(file, *[said("ok")] * 5)
    assert await chatlog.load(scope, agent.id, file) == (5, 2, 3)
    assert [row.text for row in await stored(scope, agent)] == ["ok", "go", "ok", "ok", "ok", "ok"]


async def test_a_line_is_known_however_it_is_written(scope: Scope, agent: Agent, file: Path) -> None:
    fill(file, said("你好", created_at="2026-01-01T01:00:00Z", metadata={"a": 1, "b": {"c": 2, "d": 3}}))
    assert await chatlog.load(scope, agent.id, file) == (1, 1, 0)
    again = (
        b"\xef\xbb\xbf\r\n   \n"
        b'  { "metadata": {"b": {"d": 3, "c": 2}, "a": 1}, "name": null, "created_at": "2026-01-01T02:00:00+01:00",'
        b' "content": "\\u4f60\\u597d", "role": "user" }  \r\n\r\n'
    )
    file.write_bytes(again)
    assert await chatlog.load(scope, agent.id, file) == (1, 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "assistant"},
        {"name": "Mei"},
        {"content": "hello "},
        {"content": ["hello"]},
        {"created_at": "2026-01-01T00:00:01Z"},
        {"metadata": {"turn": 2}},
        {"group_id": "g"},
    ],
    ids=str,
)
async def test_another_value_in_any_field_is_another_line(
    scope: Scope, agent: Agent, file: Path, change: dict[str, object]
) -> None:
    line = said(created_at="2026-01-01T00:00:00Z", metadata={"turn": 1})
    fill(file, line, {**line, **change})
    assert await chatlog.load(scope, agent.id, file) == (2, 2, 0)
    fill(file, {**line, **change}, line)
    assert await chatlog.load(scope, agent.id, file) == (2, 0, 2)


async def test_the_same_file_of_two_agents_is_stored_with_each(scope: Scope, agent: Agent, file: Path) -> None:
    second = await agents.create(scope, NewAgent(name="second"))
    fill(file, said("a"), said("b"))
    for one in (agent, second):
        assert await chatlog.load(scope, one.id, file) == (2, 2, 0)
    assert not {row.id for row in await stored(scope, agent)} & {row.id for row in await stored(scope, second)}


async def test_what_was_changed_or_deleted_since_is_left_as_it_stands(scope: Scope, agent: Agent, file: Path) -> None:
    fill(file, said("a"), said("b"), said("c"))
    await chatlog.load(scope, agent.id, file)
    rows = await stored(scope, agent)
    await messages.delete(scope, rows[2].id)
    assert await chatlog.load(scope, agent.id, file) == (3, 0, 3)
    assert [row.text for row in await stored(scope, agent)] == ["a", "b"]


def test_ids_stay_the_same_in_every_release(file: Path) -> None:
    """Databases out there hold these ids: another form of a line would store every imported file again."""
    line = said(["p"], name="Mei 梅", created_at="2026-01-01T00:00:00.5Z", metadata={"b": [1, 2.5, True], "a": None})
    fill(file, line, line, said("hello", metadata={}))
    form = (
        '{"content":["p"],"created_at":"2026-01-01 00:00:00.500000+00:00",'
        '"metadata":{"a":null,"b":[1,2.5,true]},"name":"Mei 梅","role":"user"}'
    )
    first = uuid5(AGENT_ID, form)
    assert first == UUID("682873a8-ac77-54c4-937a-da9b49f55e33")
    assert ids_of(file) == [first, uuid5(first, "1"), uuid5(AGENT_ID, '{"role":"user","text":"hello"}')]


def ids_of(file: Path) -> list[UUID]:
    with closing(chatlog._batches(file, AGENT_ID)) as batches:
        return [message.id for batch in batches for message in batch.messages.values()]


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.sampled_from(["ok", "yes", ""]))), st.data())
def test_ids_are_distinct_and_those_of_a_grown_file_begin_with_the_old_ones(
    turns: list[tuple[str, str]], data: st.DataObject
) -> None:
    lines: list[dict[str, object]] = [{"role": role, "content": content} for role, content in turns]
    part = data.draw(st.integers(0, len(lines)))
    with TemporaryDirectory() as directory:
        file = Path(directory, "chat.jsonl")
        whole = ids_of(fill(file, *lines))
        assert ids_of(fill(file, *lines[:part])) == whole[:part]
    assert len(set(whole)) == len(lines)


BAD_LINES: list[tuple[dict[str, object] | bytes, str]] = [
    (said(role="robot"), "role: Input should be 'user', 'assistant', 'system' or 'tool'"),
    ({"content": "no role"}, "role: Field required"),
    ({"role": "user"}, "content: Field required"),
    (said(None), "content: Field required"),
    (said(7), "content: must be a string or a list of parts"),
    (said({"text": "x"}), "content: must be a string or a list of parts"),
    (said("x", text="y"), "content: is a second text; give the text once"),
    (said("a\0b"), "content: contains a NUL character, which PostgreSQL cannot store; remove it"),
    (said(["a\0b"]), "content: contains a NUL character at depth 2"),
    (said(name="\0"), "name: contains a NUL character, which PostgreSQL cannot store; remove it"),
    (said(metadata={"k": "\0"}), "metadata: contains a NUL character at depth 1"),
    (said(created_at="2026-01-01T00:00:00"), "created_at: Input should have timezone info"),
    (said(created_at="soon"), "created_at: Input should be a valid datetime"),
    (said(created_at="9999-12-31T23:59:59Z"), "created_at: is outside the years 2 to 9998"),
    (said(id="7"), "id: Input should be a valid UUID"),
    (said(user_id="Mei"), "user_id: Input should be a valid UUID"),
    (said(name=""), "name: String should have at least 1 character"),
    (said(metadata=[]), "metadata: Input should be a valid dictionary"),
    (said(speaker="Mei"), "speaker: Extra inputs are not permitted"),
    (said(**{"x\n\x1b[31m": 1}), r"'x\n\x1b[31m': Extra inputs are not permitted"),
    (said(**{"k" * 999: 1}), "k" * 60 + ": Extra inputs are not permitted"),
    (said(role="robot", name=1, id=2), "id: UUID input should be a string, bytes or UUID object; role: "),
    (b'{"role": "user", "content": "x"', "JSON: EOF while parsing an object at column 31"),
    (b"hello", "JSON: expected value at column 1"),
    (b'{"role": "user", "content": "x"} {}', "JSON: trailing characters at column 34"),
    (b'{"role": "user", "content": "\\ud800"}', "JSON: "),
    (b'{"role": "user", "content": "a\tb"}', "JSON: control character"),
    (b'{"role": "user", "content": ' + b"[" * 5000, "JSON: recursion limit exceeded"),
    (b'{"role": "user", "content": "x", "metadata": {"n": NaN}}', "metadata: holds a number that is not finite"),
    (b"[]", 'JSON: must be an object, such as {"role": "user", "content": "Hello"}'),
    (b"null", "JSON: must be an object"),
    (b'{"role": "user", "content": "caf\xe9"}', "encoding: byte 33 of the line is not UTF-8; save the file as UTF-8"),
    ('{"role": "user"}'.encode("utf-16"), "encoding: byte 1 of the line is not UTF-8"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[reason[:50] for _, reason in BAD_LINES])
async def test_a_bad_line_is_named_and_nothing_of_its_file_is_stored(
    scope: Scope, agent: Agent, file: Path, line: dict[str, object] | bytes, reason: str
) -> None:
    fill(file, said("good"), b"", line, said("good, too"))
    text = await refused(scope, agent, file)
    assert text.startswith(f"chat.jsonl:3: {reason}")
    assert len(text) < 250
    assert await messages.count(scope, agent.id) == 0


async def test_a_bad_line_behind_several_batches_leaves_nothing_and_burns_no_place(
    scope: Scope, agent: Agent, file: Path
) -> None:
    fill(file, *[said(str(number)) for number in range(1200)], said(role="robot"))
    assert (await refused(scope, agent, file)).startswith("chat.jsonl:1201: role: ")
    assert await messages.count(scope, agent.id) == 0
    assert (await messages.append(scope, agent.id, [NewMessage(role="user", text="x")]))[0].seq == 1


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda file: None, "No such file or directory"),
        (lambda file: file.mkdir(), "Is a directory"),
        (lambda file: file.symlink_to(file), "Too many levels of symbolic links"),
    ],
)
async def test_what_cannot_be_opened_is_named(scope: Scope, agent: Agent, file: Path, make: Any, reason: str) -> None:
    make(file)
    assert await refused(scope, agent, file) == f"chat.jsonl: open: {reason}"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n\t\n"], ids=repr)
async def test_a_file_without_lines_is_fine(scope: Scope, agent: Agent, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert await chatlog.load(scope, agent.id, file) == (0, 0, 0)


async def test_the_last_line_needs_no_line_break_and_separators_of_unicode_are_text(
    scope: Scope, agent: Agent, file: Path
) -> None:
    text = "a\u2028b\u0085c\x0bd"
    file.write_bytes(json.dumps(said(text), ensure_ascii=False).encode())
    assert await chatlog.load(scope, agent.id, file) == (1, 1, 0)
    assert [row.text for row in await stored(scope, agent)] == [text]


async def test_an_id_given_to_two_lines_is_refused(scope: Scope, agent: Agent, file: Path) -> None:
    """Also when they are in different batches, where the database alone would take the second for the first."""
    twice = said("x", id=str(uuid4()))
    fill(file, twice, *[said(str(number)) for number in range(600)], twice)
    assert await refused(scope, agent, file) == "chat.jsonl:602: id: was given to an earlier line of this file"
    assert await messages.count(scope, agent.id) == 0


async def test_an_id_stored_with_other_content_names_the_line(scope: Scope, agent: Agent, file: Path) -> None:
    own_id = str(uuid4())
    fill(file, said("x", id=own_id))
    assert await chatlog.load(scope, agent.id, file) == (1, 1, 0)
    assert await chatlog.load(scope, agent.id, file) == (1, 0, 1)
    fill(file, said("new"), said("other", id=own_id), said("newer"))
    text = await refused(scope, agent, file)
    assert text == "chat.jsonl:2: id: this message is stored with other content"
    assert [row.text for row in await stored(scope, agent)] == ["x"]


async def test_a_user_that_is_not_there_names_the_line(scope: Scope, agent: Agent, file: Path) -> None:
    fill(file, said("a"), said("b", user_id=str(uuid4())))
    assert await refused(scope, agent, file) == "chat.jsonl:2: user_id: no such user, or it is deleted"
    assert await messages.count(scope, agent.id) == 0


async def test_only_a_visible_agent_takes_messages(scope: Scope, other: Scope, agent: Agent, file: Path) -> None:
    fill(file, said())
    with pytest.raises(errors.NotFound, match="no such agent"):
        await chatlog.load(other, agent.id, file)
    await agents.delete(scope, agent.id)
    with pytest.raises(errors.NotFound, match="no such agent"):
        await chatlog.load(scope, agent.id, file)
    with pytest.raises(errors.ValidationError, match="agent_id"):
        await chatlog.load(scope, "planner", file)  # type: ignore[arg-type]


async def test_long_lines_are_sent_in_small_batches_and_too_long_ones_refused(
    scope: Scope, agent: Agent, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in memory at a time is bounded by bytes, not only by lines; so is a line itself."""
    monkeypatch.setattr(chatlog, "_BATCH_BYTES", 1000)
    monkeypatch.setattr(chatlog, "_LINE_BYTES", 5000)
    fill(file, *[said(f"{number} " + "x" * 450) for number in range(10)], said("y" * 3000))
    reached: list[int] = []

    assert await chatlog.load(scope, agent.id, file, on_progress=reached.append) == (11, 11, 0)

    assert len(reached) == 5
    assert reached == sorted(reached)
    assert reached[-1] == file.stat().st_size

    fill(file, said("short"), said("y" * 6000))
    monkeypatch.setattr(chatlog, "_LINE_BYTES", 2**20)
    assert await chatlog.load(scope, agent.id, file) == (2, 2, 0)
    monkeypatch.setattr(chatlog, "_LINE_BYTES", 5000)
    assert (await refused(scope, agent, file)).startswith("chat.jsonl:2: length: the line is longer than")


async def test_a_text_of_megabytes_is_stored_as_it_is(scope: Scope, agent: Agent, file: Path) -> None:
    text = "长 long " * 300_000
    fill(file, said(text))
    assert await chatlog.load(scope, agent.id, file) == (1, 1, 0)
    assert (await stored(scope, agent))[0].text == text
    fill(file, said("x" * 10_000_001))
    assert await refused(scope, agent, file) == (
        "chat.jsonl:1: content: String should have at most 10000000 characters"
    )


async def test_the_same_file_loaded_by_four_at_once_is_stored_once(tenant: Scope, file: Path) -> None:
    agent = await agents.create(tenant, NewAgent(name="busy"))
    fill(file, *[said(str(number)) for number in range(700)])
    counts = await asyncio.gather(*(chatlog.load(tenant, agent.id, file) for _ in range(4)))
    assert sorted(counts) == [(700, 0, 700)] * 3 + [(700, 700, 0)]
    assert [row.text for row in await stored(tenant, agent)] == [str(number) for number in range(700)]


async def test_a_load_waits_for_other_writers_and_takes_its_places_in_one_piece(tenant: Scope, file: Path) -> None:
    agent = await agents.create(tenant, NewAgent(name="busy"))
    fill(file, *[said(str(number)) for number in range(1100)])
    new = [NewMessage(role="assistant", text="chat") for _ in range(20)]

    counts, *_ = await asyncio.gather(
        chatlog.load(tenant, agent.id, file), *(messages.append(tenant, agent.id, [one]) for one in new)
    )

    assert counts == (1100, 1100, 0)
    page = await messages.list(tenant, agent.id, limit=1000)
    rows = page.items + (await messages.list(tenant, agent.id, limit=1000, cursor=page.next)).items
    places = [row.seq for row in rows if row.role == "user"]
    assert places == list(range(places[0], places[0] + 1100))
    assert len(rows) == 1120


SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of real conversations is not beside this checkout")
@pytest.mark.parametrize("name", ["locomo/26.messages.jsonl", "memorybank_zh/01.messages.jsonl"])
async def test_a_real_conversation_comes_back_line_by_line(scope: Scope, agent: Agent, name: str) -> None:
    lines = [json.loads(line) for line in (SHARED / name).read_text(encoding="utf-8").splitlines()]
    for expected in ((len(lines), len(lines), 0), (len(lines), 0, len(lines))):
        assert await chatlog.load(scope, agent.id, SHARED / name) == expected
    rows = await stored(scope, agent)
    assert [(row.role, row.name, row.text, row.metadata) for row in rows] == [
        (line["role"], line["name"], line["content"], line["metadata"]) for line in lines
    ]
