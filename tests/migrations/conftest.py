"""Fixtures of the tests of migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agentmem_store import migrations
from tests.migrations.planting import three

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three tables: a, b and c."""
    return three(tmp_path)


@pytest.fixture
async def migrated(empty_database: str) -> str:
    """The DSN of a database with the shipped schema; of the server itself, as migrations need it."""
    await migrations.up(empty_database)
    return empty_database
