"""A file of SQL, cut into its statements exactly as the server would.

It reads what the server's lexer reads (src/backend/parser/scan.l): nested comments, dollar quotes, E'' strings and
their continuation on the next line, quoted identifiers; and it knows the two places where a semicolon ends no
statement: parentheses (the actions of a rule) and the body of a routine (BEGIN ATOMIC … END). It takes
standard_conforming_strings to be on, as by default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Statement", "split"]

_COMMENT: Final = r"--[^\r\n]*"
_LETTER: Final = r"A-Za-z_\x80-\U0010ffff"
# Between two parts of one string constant there is a line break, and comments only as far as they end with the line.
_CONTINUED: Final = rf"(?:[ \t\f\v]|{_COMMENT})*[\r\n](?:\s|{_COMMENT}[\r\n])*'"
_TOKEN: Final = re.compile(
    rf"""
      (?P<space>   \s+ | {_COMMENT} )
    | (?P<block>   /\* )
    | (?P<escape>  [eE]' (?: [^'\\] | \\. | '' | '{_CONTINUED} )* '? )
    | (?P<string>  ' [^']* (?: '' [^']* )* '? )
    | (?P<quoted>  " [^"]* (?: "" [^"]* )* "? )
    | (?P<dollar>  \$ (?P<tag> (?: [{_LETTER}] [{_LETTER}0-9]* )? ) \$ )
    | (?P<word>    [{_LETTER}] [{_LETTER}0-9$]* )
    | (?P<open>    \( )
    | (?P<close>   \) )
    | (?P<end>     ; )
    | (?P<other>   . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_BLOCK: Final = re.compile(r"/\*|\*/|[^/*]+|[/*]")
_ROUTINE: Final = re.compile(r"CREATE (OR REPLACE )?(FUNCTION|PROCEDURE)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a file, without its semicolon.

    Attributes:
        at: the index in the file of its first character that is neither space nor comment.
        sql: its text from there on, as it is sent.
        code: the same in one line, with comments out, space as one blank and strings empty. For patterns, never to be
            sent.
    """

    at: int
    sql: str
    code: str

    @property
    def digest(self) -> str:
        """The SHA-256 of its text, by which the ledger knows it."""
        return sha256(self.sql.encode()).hexdigest()


class _Part:
    """A statement in the making."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.end = 0
        self.code: list[str] = []
        self.parentheses = 0
        self.in_body = False
        self._before = ""  # the token before this one

    def add(self, kind: str, text: str, at: int, end: int) -> None:
        """Take a token that is no space."""
        self.at = at if self.at is None else self.at
        self.end = end
        self.code.append(text)
        self.parentheses += (kind == "open") - (kind == "close" and self.parentheses > 0)
        token = text.upper() if kind in {"word", "end"} else ""
        if not self.parentheses:
            self._look_for_body(self._before, token)
        self._before = token

    def _look_for_body(self, before: str, word: str) -> None:
        """See whether a routine's body begins or ends with this word.

        In the body END as the first word after a semicolon can only be the body's: as another name of COMMIT it is not
        allowed there, and the END of a CASE follows no semicolon.
        """
        if self.in_body:
            self.in_body = not (word == "END" and before in {";", "ATOMIC"})
        elif (before, word) == ("BEGIN", "ATOMIC"):
            self.in_body = _ROUTINE.match("".join(self.code)) is not None

    def is_ended_by(self, kind: str) -> bool:
        """Tell whether a token ends it."""
        return kind == "end" and not self.parentheses and not self.in_body


def split(sql: str) -> list[Statement]:
    """Cut a file into statements. What follows the last semicolon is one too, if it is more than space and comments."""
    statements: list[Statement] = []
    part = _Part()
    for kind, text, at, end in _tokens(sql):
        if part.is_ended_by(kind):
            statements += _finished(part, sql)
            part = _Part()
        elif kind == "space":
            if part.code and part.code[-1] != " ":
                part.code.append(" ")
        else:
            part.add(kind, text, at, end)
    return statements + _finished(part, sql)


def _finished(part: _Part, sql: str) -> list[Statement]:
    if part.at is None:
        return []
    return [Statement(part.at, sql[part.at : part.end], "".join(part.code).strip())]


def _tokens(sql: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield each token's kind, what patterns may see of it, and where it begins and ends."""
    at = 0
    while found := _TOKEN.match(sql, at):
        kind, text, end = str(found.lastgroup), found[0], found.end()
        if kind == "block":
            depth, end = _past_block(sql, end)
            kind = "space" if depth == 0 else "unclosed"  # which the server is to complain of
        elif kind == "dollar":
            closing = sql.find(text, end)
            end = len(sql) if closing < 0 else closing + len(text)
            kind, text = "string", "''"
        elif kind in {"string", "escape"}:
            kind, text = "string", "''"
        yield kind, text, at, end
        at = end


def _past_block(sql: str, at: int) -> tuple[int, int]:
    """Return how many comments are open in the end, and where that is."""
    depth = 1
    while depth and (token := _BLOCK.match(sql, at)):
        depth += {"/*": 1, "*/": -1}.get(token[0], 0)
        at = token.end()
    return depth, at
