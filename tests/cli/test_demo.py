"""The main job, end to end, as a user runs it: a private server in a directory of its own."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from agentmem_store.cli import store
from agentmem_store.cli.demo import QUESTIONS
from agentmem_store.database import Database
from agentmem_store.embedded import binaries
from agentmem_store.models.messages import NewMessage
from agentmem_store.repositories import messages
from tests.cli import run

# The words of the message that answers each question.
EVIDENCE = {
    "What is Mei allergic to?": "allergic to peanuts",
    "Where and when is the half marathon?": "in Porto on 8 November",
    "妈妈的生日是哪一天": "生日是十月十二日",
    "豆豆不能吃什么": "豆豆不能吃鸡肉",
}


def sample() -> list[dict[str, Any]]:
    text = (resources.files("agentmem_store") / "sample/chat.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory to start in; as root its server keeps its data elsewhere, in a directory named after it."""
    path = Path(tempfile.mkdtemp(prefix="agentmem-test-"))
    yield path
    for left in (path, *binaries.SYSTEM.glob(f"{path.name}-*")):
        shutil.rmtree(left)


def test_demo_stores_once_and_answers_every_question(home: Path) -> None:
    """Without --dsn it starts the embedded server. What it says to try next works as it stands."""
    code, first, err = run("demo", cwd=home)
    assert (code, err) == (0, "")
    assert "applied core/0001_tenancy" in first
    assert "24 messages of a sample conversation: 24 new, 0 known" in first
    assert sample()[-1]["content"] in first
    for question, words in EVIDENCE.items():
        best = first.partition(f"\n{question}")[2].splitlines()[4]
        assert words in best, question

    code, again, err = run("demo", cwd=home)
    assert (code, err) == (0, "")
    assert "applied" not in again
    assert "24 messages of a sample conversation: 0 new, 24 known" in again
    assert first.partition("The newest")[2] == again.partition("The newest")[2]

    search, _, status, _ = [shlex.split(line)[1:] for line in first.splitlines() if line.startswith("  agentmem-store")]
    code, found, err = run(*search, cwd=home)
    assert (code, err) == (0, "")
    assert "allergic to peanuts" in found
    assert "你对花生过敏" in found
    assert run(*status, cwd=home)[0] == 0


def test_demo_leaves_the_database_of_the_environment_alone(home: Path) -> None:
    """It migrates what it runs on, so only --dsn makes that anything but the embedded server."""
    elsewhere = "postgresql://nobody@127.0.0.1:1/none"
    code, out, err = run("demo", cwd=home, AGENTMEM_DSN=elsewhere)
    assert (code, err) == (0, "")
    assert "agentmem-store --dsn embedded: search" in out
    code, _, err = run("--dsn", elsewhere, "demo", cwd=home)
    assert (code, err.count("\n")) == (1, 1)


@pytest.mark.parametrize("question", QUESTIONS)
async def test_the_evidence_comes_first(db: Database, question: str) -> None:
    with resources.as_file(resources.files("agentmem_store") / "sample/chat.jsonl") as path:
        assert await store.store_file(db, "Demo", "Ada", path) == (24, 24, 0)
    scope = db.tenant((await store.existing_organization(db, "Demo")).id)
    agent = await store.existing_agent(scope, "Ada")
    hits = await messages.search(scope, agent.id, question, limit=3)
    assert EVIDENCE[question] in (hits[0].message.text or "")


def test_the_sample_is_a_conversation_of_two_in_two_languages() -> None:
    lines = sample()
    assert len(lines) == 24
    for line in lines:
        NewMessage(role=line["role"], text=line["content"], created_at=line["created_at"])
    assert {(line["role"], line["name"]) for line in lines} == {("user", "Mei"), ("assistant", "Ada")}
    assert [line["created_at"] for line in lines] == sorted(line["created_at"] for line in lines)
    for name in ("Mei", "Ada"):
        own = [line["content"].isascii() for line in lines if line["name"] == name]
        assert 4 <= sum(own) <= len(own) - 4, "both languages"
