"""Where the words of a query stand in what was found, in any script."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

from agentmem_store.statements.highlighting import MEANT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agentmem_store.scope import Scope

__all__ = ["highlight"]

Span = tuple[int, int]

_INDEXED: Final = 50_000  # characters of a text; agentmem.search_vector has the same
# Scripts that put no spaces between words: those of agentmem.search_spaceless, their half-width forms and kana marks.
_SPACELESS: Final = re.compile(
    "["
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3041-\u3096\u3099\u309a\u309d-\u309f"
    "\u2600-\u27bf\u2b50\u2b55"
    "\u30a1-\u30fa\u30fc-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uff66-\uffdc"
    "\U0001f300-\U0001faff\U00020000-\U000323af]+"
)
# Characters that join the one before them: marks, and the vowels and finals of decomposed Korean.
_JOINING: Final = re.compile(r".[\u0300-\u036f\u1160-\u11ff\u3099\u309a\uff9e\uff9f]*", re.DOTALL)


async def highlight(scope: Scope, words: str, found: Sequence[Mapping[str, str]]) -> list[dict[str, list[Span]]]:
    """Return where the words of a query stand in the texts of what was found.

    A word counts as it does in a search: stemmed, folded. Of a script without spaces pairs of characters count, a
    single one only where it was asked for alone. One round trip, none where no text holds a word.

    Args:
        words: the query's words.
        found: for each hit its texts by name, of which the first 50,000 characters are looked at.

    Returns:
        For each hit, by the name of each text in which a word stands: (start, end) in characters, in order, apart.
    """
    texts = [{name: text[:_INDEXED] for name, text in hit.items()} for hit in found]
    distinct = {text[start:end] for hit in texts for text in hit.values() for start, end in _words(text)}
    meant = set(await scope.fetch_all(MEANT, sorted(distinct), words)) if distinct else set[str]()
    pairs = {pair for pair, _, _ in _pairs(words)}
    marked = [{name: _spans(text, meant, pairs) for name, text in hit.items()} for hit in texts]
    return [{name: spans for name, spans in hit.items() if spans} for hit in marked]


def _spans(text: str, meant: set[str], pairs: set[str]) -> list[Span]:
    """Return where words that are meant and pairs stand; of those that touch or overlap, one span."""
    spans = [(start, end) for start, end in _words(text) if text[start:end] in meant]
    spans += [(start, end) for pair, start, end in _pairs(text, singly=True) if pair in pairs]
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _words(text: str) -> Iterator[Span]:
    """Give each run of letters and digits, and each row of them that dots before digits join: 3.14 is one word."""
    begun, last = 0, -1
    for is_word, run in groupby(range(len(text)), lambda place: _is_word(text[place])):
        if not is_word:
            continue
        start, *rest = run
        end = rest[-1] + 1 if rest else start + 1
        yield start, end
        if start == last + 1 and text[last] == "." and text[start] in "0123456789":
            yield begun, end
        else:
            begun = start
        last = end


@lru_cache(maxsize=4096)
def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" and not _SPACELESS.match(character)


def _pairs(text: str, *, singly: bool = False) -> Iterator[tuple[str, int, int]]:
    """Give the pairs of neighbours in each run of a script without spaces, or its one character, folded, and where.

    `singly` gives the characters of all runs.
    """
    for run in _SPACELESS.finditer(text):
        folded = list(_folded(run.group(), run.start()))
        if singly or len(folded) == 1:
            yield from folded
        for (one, start, _), (following, _, end) in pairwise(folded):
            yield one + following, start, end


def _folded(run: str, offset: int) -> Iterator[tuple[str, int, int]]:
    """Give the characters of a run as agentmem.search_fold writes them, and which of the text each stands for."""
    for cluster in _JOINING.finditer(run):
        for character in unicodedata.normalize("NFKC", cluster.group()):
            yield character, offset + cluster.start(), offset + cluster.end()
