"""What importing the package leaves for later."""

from __future__ import annotations

import subprocess
import sys

import pytest

import agentmem_store
from agentmem_store import config

_MODELS = """
import agentmem_store
from pydantic import BaseModel

def below(model):
    for each in model.__subclasses__():
        yield each
        yield from below(each)

print(*[each.__name__ for each in below(BaseModel) if each.__pydantic_complete__])
"""


def told(program: str) -> list[str]:
    """Run a program in a new interpreter and return the words it printed."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_no_model_builds_its_validator() -> None:
    assert told(_MODELS) == []


@pytest.mark.parametrize("module", ["agentmem_store.analysis", "importlib.metadata", "typer"])
def test_what_few_need_is_not_imported(module: str) -> None:
    assert told(f"import agentmem_store, sys; print({module!r} in sys.modules)") == ["False"]


def test_the_analysis_is_imported_when_it_is_asked_for() -> None:
    assert told("import agentmem_store; print(agentmem_store.analysis.explain.__name__)") == ["explain"]
    assert told("from agentmem_store import *; print(analysis.explain.__name__)") == ["explain"]
    with pytest.raises(AttributeError, match="has no attribute 'analyses'"):
        agentmem_store.analyses  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.parametrize("name", [name for name in config.__all__ if name.isupper()])
def test_presets_are_what_a_check_makes_of_them(name: str) -> None:
    preset = getattr(config, name)
    assert type(preset).model_validate(dict(preset)) == preset
