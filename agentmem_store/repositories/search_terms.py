"""What searches know of words: how common they are to an agent, and where those of a query stand in a text."""

from __future__ import annotations

import unicodedata
from itertools import groupby
from typing import TYPE_CHECKING, Final

from agentmem_store.inputs import check_uuid
from agentmem_store.statements import search_terms as statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from agentmem_store.scope import Scope

__all__ = ["highlights", "refresh"]

Span = tuple[int, int]

_SAMPLE: Final = 20_000  # rows whose words are counted; the others are taken to be alike
_COMMON: Final = 100  # rows from which on a word is worth remembering
_LARGE: Final = 3_000  # rows from which on an agent is

# Scripts that put no spaces between words; agentmem.search_pairs has the same.
_SPACELESS: Final = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3041, 0x3096),
    (0x309D, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xAC00, 0xD7AF), (0xFF66, 0xFF9F), (0x1F300, 0x1FAFF), (0x20000, 0x323AF),
)  # fmt: skip


async def refresh(scope: Scope, agent_id: UUID) -> int:
    """Count anew which words are common in an agent's messages and memories; return how many are.

    Searches of an agent with many rows are faster for it; what they find hardly depends on it. Worth doing after a bulk
    load and now and then. Reads at most 20,000 rows of each kind and counts the others by an index; writes one row for
    each common word, none for an agent with fewer than 3,000 rows. Two statements, each on its own.
    """
    args = (check_uuid(agent_id, "agent_id"), _SAMPLE, _COMMON, _LARGE)
    messages = await scope.fetch_one(statements.REFRESH_MESSAGES, *args)
    return messages + await scope.fetch_one(statements.REFRESH_MEMORIES, *args)


async def highlights(scope: Scope, words: str, texts: Sequence[str]) -> list[list[Span]]:
    """Return for each text where the words of a query stand in it: (start, end) in characters, in order, apart.

    A word counts as it does in a search: stemmed, folded. Of a script without spaces pairs of characters count, a
    single one only where it was asked for alone. One round trip.
    """
    pairs = {_folded(words[start:end]) for start, end in _pairs(words)}
    parts = [list(_words(text)) for text in texts]
    distinct = {text[start:end] for text, spans in zip(texts, parts, strict=True) for start, end in spans}
    matching = set(await scope.fetch_all(statements.MATCHING, sorted(distinct), words)) if distinct else set[str]()
    return [
        _joined(
            [(start, end) for start, end in spans if text[start:end] in matching]
            + [(start, end) for start, end in _pairs(text, singly=True) if _folded(text[start:end]) in pairs]
        )
        for text, spans in zip(texts, parts, strict=True)
    ]


def _runs(text: str) -> Iterator[tuple[str, int, int]]:
    """Cut a text into runs of one kind of character: word, spaceless, or neither."""
    for kind, run in groupby(range(len(text)), lambda place: _kind(text[place])):
        places = list(run)
        yield kind, places[0], places[-1] + 1


def _kind(character: str) -> str:
    if any(first <= ord(character) <= last for first, last in _SPACELESS):
        return "spaceless"
    return "word" if unicodedata.category(character)[0] in "LMN" else ""


def _words(text: str) -> Iterator[Span]:
    return ((start, end) for kind, start, end in _runs(text) if kind == "word")


def _pairs(text: str, *, singly: bool = False) -> Iterator[Span]:
    """Give the pairs of neighbours in each spaceless run, or its one character; `singly` gives single ones of all."""
    for kind, start, end in _runs(text):
        if kind != "spaceless":
            continue
        if singly or end - start == 1:
            yield from ((place, place + 1) for place in range(start, end))
        yield from ((place, place + 2) for place in range(start, end - 1))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _joined(spans: list[Span]) -> list[Span]:
    """Sort spans, and make one of those that touch or overlap."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
