"""The structure that a reader relies on: imports go one way, files and functions stay small, dependencies are used."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "agentmem_store"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A module may import those of its own line and of the lines before it.
LAYERS = [
    ["errors", "scrub"],
    ["address", "blocking", "config", "inputs", "progress", "search_query", "embedded", "vectors"],
    ["connect", "query", "models"],
    ["embedding_index", "handshake", "migrations", "telemetry", "statements"],
    ["pool"],
    ["executor"],
    ["retry"],
    ["scope"],
    ["page"],
    ["repositories"],
    ["analysis", "chatlog", "context", "database", "health", "retention", "search", "transfer"],
    ["__init__"],
    ["cli", "__main__"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
TABLES = ["organizations", "users", "agents", "messages", "blocks", "tools", "memories"]


def unit_of(path: Path) -> str:
    """The first part of a module's name within the package, by which layers are told."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """Every module of the package that a file imports at run time, in full."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("agentmem_store"):
            if node.module == "agentmem_store":
                yield from (f"agentmem_store.{alias.name}" for alias in node.names)
            else:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    own = RANK[unit_of(path)]
    for module in imports_of(path):
        unit = module.split(".")[1]
        if unit in RANK:
            assert RANK[unit] <= own, f"{path.name} imports {module} from a layer above"


def test_every_module_has_a_layer() -> None:
    assert {unit_of(path) for path in FILES} <= set(RANK)


def test_migrations_know_neither_pool_nor_repositories() -> None:
    for path in (PACKAGE / "migrations").glob("*.py"):
        units = {module.split(".")[1] for module in imports_of(path)}
        assert not units & {"pool", "executor", "scope", "repositories", "telemetry"}


def test_repositories_of_two_tables_do_not_import_each_other() -> None:
    for path in (PACKAGE / "repositories").rglob("*.py"):
        for module in imports_of(path):
            parts = module.split(".")
            if parts[1] == "repositories" and len(parts) > 2 and parts[2] in TABLES:
                assert path.stem == "__init__" or parts[2][:-1] in path.stem, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0
            assert length <= 40, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_public_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if any(isinstance(by, ast.Name) and by.id == "overload" for by in node.decorator_list):
                continue
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_every_declared_dependency_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[\[<>=~! ]", entry)[0].replace("-", "_") for entry in project["dependencies"]}
    imported = {
        ((node.module if isinstance(node, ast.ImportFrom) else alias.name) or "").split(".")[0]
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") is not None
        for alias in node.names
    }
    assert declared <= imported
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    extras = {name for entries in project["optional-dependencies"].values() for name in entries}
    for entry in {*project["dependencies"], *extras}:
        name = re.split(r"[\[<>=~! ]", entry)[0]
        assert name == "agentmem-store" or f"`{name}`" in text, f"docs/dependencies.md does not name {name}"
