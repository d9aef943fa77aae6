"""docs/migrations.md: what to do for each error, at three in the morning."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from agentmem_store import errors, migrations
from agentmem_store.migrations import problems

PAGE = (Path(__file__).parents[2] / "docs" / "migrations.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.replace("`", "").split())
FOLDER = Path(str(migrations.__file__)).parent
MODULES = ["backfilling", "checks", "drift", "files", "fingerprint", "operations", "runner", "scratch", "stepwise"]
KINDS = [*problems.__all__, *(name for name in errors.__all__ if name.startswith("Migration"))]
SQL_OR_PATTERN = re.compile(r"\b(SELECT|SET|BEGIN|INSERT|UPDATE)\b|[\\\n]|\.\*")


def messages() -> list[str]:
    """Every piece of a message in the source of at least four words, up to its first semicolon."""
    found: list[str] = []
    for name in MODULES:
        tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                text = node.value.strip(" :;,").partition(";")[0].replace("`", "")
                if len(text.split()) >= 4 and not SQL_OR_PATTERN.search(node.value) and not text.startswith("must "):
                    found.append(text)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_error_has_a_heading(kind):
    assert re.search(rf"^###+ {kind}$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("text", sorted(set(messages())))
def test_each_message_stands_in_the_page(text):
    assert " ".join(text.split()) in WORDS


def test_there_are_messages_to_hold():
    assert len(messages()) > 30


def test_every_kind_is_a_migration_error():
    assert all(issubclass(getattr(problems, name), errors.MigrationError) for name in problems.__all__)
    assert all(name in str(problems.__doc__) for name in problems.__all__)


def test_every_command_of_the_page_is_one():
    from agentmem_store.cli import migrate

    commands = {command.callback.__name__ for command in migrate.app.registered_commands if command.callback}
    named = set(re.findall(r"agentmem-store migrate (\w+)", PAGE))
    assert named == commands
