"""Here every database has the tables of embeddings: the fixtures of the other tests, on another template."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def template(vector_template: str) -> str:
    return vector_template


@pytest.fixture(scope="session")
def shared(vector_shared: str) -> str:
    return vector_shared
