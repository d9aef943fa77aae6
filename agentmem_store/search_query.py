"""What a user types into a search, taken apart: words, "phrases" and -exclusions. Whatever is typed is a query."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agentmem_store.inputs import check_text

__all__ = ["CANDIDATES", "FILTERED_CANDIDATES", "QUERY_LENGTH", "Asked", "parse"]

# How many rows a search looks at before it leaves common words aside, where it knows which are common. A filter may
# leave few of them, so with one it looks at more.
CANDIDATES: Final = 1_000
FILTERED_CANDIDATES: Final = 10_000

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
