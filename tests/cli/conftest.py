"""Commands reach the server itself: one through a pooler is told so by variables; see tests/test_pgbouncer.py."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def entrance(server: str) -> str:
    return server
