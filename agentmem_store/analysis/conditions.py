"""The conditions that EXPLAIN prints, read: which column, compared how, with what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from agentmem_store.models.analysis import unquoted

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Condition", "SortKey", "conditions", "sort_key"]

Sort = Literal["equal", "any", "range", "null", "not_null", "true", "false", "contains"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One of several conditions that all have to hold.

    Attributes:
        alias, column: whose column it is about.
        sort: how it is compared.
        operator, value: what stands between, and on the other side.
    """

    alias: str
    column: str
    sort: Sort
    operator: str = ""
    value: str = ""

    @property
    def is_constant(self) -> bool:
        """Whether the same rows hold for every call: it names no parameter, no other table, no sub-plan."""
        value = self.value[1:-1] if self.sort == "any" else self.value
        without_strings = re.sub(r"'(?:[^']|'')*'", "", value)
        return not re.search(r"\$\d|Plan \d|[\w\"]\.[\w\"]|\(", without_strings)


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column that rows are sorted by."""

    alias: str
    column: str
    descending: bool = False
    nulls_first: bool = False


_NAME: Final = r'(?:"(?:[^"]|"")+"|\w+)'
_COLUMN: Final = rf"\(?(?P<alias>{_NAME})\.(?P<column>{_NAME})\)?(?:::(?:text|character varying))?"
_SORTS: Final[list[tuple[Sort, re.Pattern[str]]]] = [
    ("false", re.compile(rf"{_COLUMN} = false")),
    ("true", re.compile(rf"{_COLUMN} = true")),
    ("any", re.compile(rf"{_COLUMN} (?P<operator>=) ANY (?P<value>\(.+\))", re.DOTALL)),
    ("equal", re.compile(rf"{_COLUMN} (?P<operator>=) (?P<value>.+)", re.DOTALL)),
    ("range", re.compile(rf"{_COLUMN} (?P<operator>[<>]=?) (?P<value>.+)", re.DOTALL)),
    ("range", re.compile(rf"ROW\({_COLUMN}, .+?\) (?P<operator>[<>]=?) (?P<value>ROW\(.+)", re.DOTALL)),
    ("contains", re.compile(rf"{_COLUMN} (?P<operator>@@|@>|&&|\?[|&]?) (?P<value>.+)", re.DOTALL)),
    ("null", re.compile(rf"{_COLUMN} IS NULL")),
    ("not_null", re.compile(rf"{_COLUMN} IS NOT NULL")),
    ("false", re.compile(rf"NOT {_COLUMN}")),
    ("true", re.compile(_COLUMN)),
]
_TURNED: Final = re.compile(rf"(?P<value>.+?) (?P<operator>=|[<>]=?) (?P<column>{_NAME}\.{_NAME})", re.DOTALL)
_OTHER_WAY: Final = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_KEY: Final = re.compile(rf"{_COLUMN}(?P<desc> DESC)?(?: NULLS (?P<nulls>FIRST|LAST))?")


def conditions(text: str | None) -> Iterator[Condition]:
    """Yield the conditions of a text that an index could serve; those on expressions and alternatives are left out."""
    for part in _parts(text or ""):
        yield from _read(part)
        if turned := _TURNED.fullmatch(part):  # the other side of a join
            operator = _OTHER_WAY[turned["operator"]]
            yield from _read(f"{turned['column']} {operator} {turned['value']}")


def sort_key(text: str) -> SortKey | None:
    """Return what a sort key says; None when it is an expression."""
    found = _KEY.fullmatch(text)
    if found is None:
        return None
    descending = found["desc"] is not None
    nulls_first = descending if found["nulls"] is None else found["nulls"] == "FIRST"
    return SortKey(unquoted(found["alias"]), unquoted(found["column"]), descending, nulls_first)


def _read(part: str) -> Iterator[Condition]:
    for sort, pattern in _SORTS:
        if found := pattern.fullmatch(part):
            told = found.groupdict()
            alias = unquoted(told["alias"])
            # A row compared with itself can be looked up in no index.
            if not re.search(rf"(?<![\w.]){re.escape(alias)}\.", told.get("value") or ""):
                value = told.get("value") or ""
                yield Condition(alias, unquoted(told["column"]), sort, told.get("operator") or "", value)
            return


def _parts(text: str) -> Iterator[str]:
    """Yield what is joined by AND, however deep, without the parentheses around it."""
    text = _bare(text.strip())
    pieces = _split(text)
    if len(pieces) == 1:
        if text:
            yield text
        return
    for piece in pieces:
        yield from _parts(piece)


def _bare(text: str) -> str:
    """Take away parentheses around the whole."""
    while text.startswith("(") and next((at for at, depth in _depths(text) if depth == 0), 0) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _split(text: str) -> list[str]:
    """Split at the ANDs outside of parentheses and quotes."""
    outside = {at for at, depth in _depths(text) if depth == 0}
    cuts = [found.start() for found in re.finditer(" AND ", text) if found.start() in outside]
    starts = [0, *(cut + len(" AND ") for cut in cuts)]
    return [text[start:end] for start, end in zip(starts, [*cuts, len(text)], strict=True)]


def _depths(text: str) -> Iterator[tuple[int, int]]:
    """Yield each character's place outside of quotes, and how many parentheses are open after it."""
    depth, quote = 0, ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character == "(") - (character == ")")
            yield at, depth
