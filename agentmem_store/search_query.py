"""What a user types into a search, taken apart: words, "phrases" and -exclusions. Whatever is typed is a query."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agentmem_store.inputs import check_text

__all__ = ["CANDIDATES", "FILTERED_CANDIDATES", "QUERY_LENGTH", "Asked", "candidates", "parse"]

# How many rows a search looks at before it leaves common words aside, where it knows which are common. A filter may
# leave few of them, so with one it looks at more.
CANDIDATES: Final = 1_000
FILTERED_CANDIDATES: Final = 10_000
# Of memories, which have no neighbours to score, fewer do where few are wanted. Of 100,000, the first ten by words stay
# those that are found by looking at all, and so do about 97 in 100 of those by words and vector (measured).
_FEW: Final = 400
_FEW_BY_VECTOR: Final = 600
_FOR_EACH: Final = 10

QUERY_LENGTH: Final = 10_000
_DEMANDS: Final = 16
# A minus counts at the start of a word only, and a quotation mark only where another one closes it.
_PART: Final = re.compile(r'(?P<minus>(?<!\S)-(?=[^\s-]))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+|"))')


class Asked(NamedTuple):
    """A query in parts.

    Attributes:
        words: all words of which any may match, those of the phrases too.
        phrases: what a row must contain, word after word; at most 16, further ones count as words only.
        excluded: what it must not contain, as words or phrases; at most 16, further ones are passed over.
    """

    words: str
    phrases: list[str]
    excluded: list[str]


def candidates(limit: int, *, filtered: bool, by_vector: bool) -> int:
    """Return how many memories a search looks at before it leaves common words aside.

    Args:
        limit: how many are wanted.
        filtered: whether some filter may leave few of them.
        by_vector: whether a vector is asked for as well, for which the best 200 by words are compared.
    """
    if filtered:
        return FILTERED_CANDIDATES
    return min(max(_FEW_BY_VECTOR if by_vector else _FEW, _FOR_EACH * limit), CANDIDATES)


def parse(query: str) -> Asked:
    """Take a query apart.

    Raises:
        ValidationError: it is no text, has more than 10,000 characters, or holds what the database cannot store (NUL).
    """
    words: list[str] = []
    phrases: list[str] = []
    excluded: list[str] = []
    for part in _PART.finditer(check_text(query, "query", most=QUERY_LENGTH)):
        text = part["word"] if part["phrase"] is None else part["phrase"]
        if part["minus"]:
            excluded.append(text)
            continue
        words.append(text)
        if part["phrase"] is not None:
            phrases.append(text)
    return Asked(" ".join(words), phrases[:_DEMANDS], excluded[:_DEMANDS])
