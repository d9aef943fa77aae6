"""How much of the evidence searches find: bounds on real conversations where they are, and on a small sample.

AGENTMEM_RETRIEVAL_DATA names the directory (by default ../shared/data beside the checkout), in the form that
`python -m bench retrieval` reads. Without it the shipped sample alone is asked, and the other test says so.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bench.retrieval import conversations, measure

if TYPE_CHECKING:
    from agentmem_store.scope import Scope

HERE: Final = Path(__file__).parent
DATA: Final = Path(os.environ.get("AGENTMEM_RETRIEVAL_DATA", HERE.parent.parent / "shared" / "data"))
SAMPLE: Final = HERE / "data" / "retrieval"
SEARCHES: Final = ("messages.search", "memories.search")
BASELINES: Final = ("each word, ts_rank", "any word, ts_rank")

# recall@10, by what is asked and by which search.
ON_DATA: Final = {
    "all locomo": {"messages.search": 0.71, "memories.search": 0.64},
    "all memorybank_zh": {"messages.search": 0.93, "memories.search": 0.86},
}
ON_SAMPLE: Final = {
    "english": {"messages.search": 0.9, "memories.search": 0.7},
    "chinese": {"messages.search": 0.9, "memories.search": 0.9},
}


def check(figures: dict[str, dict[str, dict[str, float]]], bounds: dict[str, dict[str, float]]) -> None:
    for group, least in bounds.items():
        for method, bound in least.items():
            assert figures[method][group]["recall@10"] >= bound, f"{method} of {group}"


async def test_searches_find_the_evidence_in_real_conversations(scope: Scope) -> None:
    if not DATA.is_dir():
        pytest.skip(f"no conversations at {DATA}: only the shipped sample is asked")
    by_words = [replace(conversation, vectors=None) for conversation in conversations(DATA)]
    check(await measure(scope, by_words, SEARCHES), ON_DATA)


async def test_searches_find_more_of_the_evidence_in_the_shipped_sample_than_plain_text_search(scope: Scope) -> None:
    figures = await measure(scope, conversations(SAMPLE), (*SEARCHES, *BASELINES))
    check(figures, ON_SAMPLE)
    for group in ON_SAMPLE:
        plain = max(figures[name][group]["recall@10"] for name in BASELINES)
        assert figures["messages.search"][group]["recall@10"] > plain, group
