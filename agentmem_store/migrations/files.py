"""What the folders say: sql/<track>/NNNN_name/{up,down}.sql, read into `Migration` values."""

from __future__ import annotations

import codecs
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentmem_store import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

__all__ = ["Migration", "Step", "discover", "holds_statement", "line_of", "normalise", "sql_root"]

_TRACK: Final = re.compile(r"[a-z][a-z0-9_]*")
_FOLDER: Final = re.compile(r"(?!0000)([0-9]{4})_([a-z][a-z0-9_]*)")
_BLANK: Final = re.compile(r"[\s;]+|--[^\r\n]*|/\*")
_COMMENT: Final = re.compile(r"/\*|\*/|[^/*]+|[/*]")
# The server would wait for rows that nobody sends, deaf to a cancel request too: measured, it hangs for ever.
_COPY_FROM_STDIN: Final = re.compile(r"(?:^|;)\s*COPY\b[^;]*?\bFROM\s+STDIN\b", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """One migration's identity: its track's folder, its number in it (from 1), its name, its up.sql's SHA-256."""

    track: str
    version: int
    name: str
    checksum: str

    def __str__(self) -> str:
        return f"{self.track}/{self.version:04d}_{self.name}"


@dataclass(frozen=True, slots=True)
class Migration(Step):
    """A step as the files have it: the text of up.sql and of down.sql, normalised."""

    up: str = field(repr=False)
    down: str = field(repr=False)


def sql_root() -> Traversable:
    """Return the folder of the tracks: the package's own sql/, else the checkout's beside the package."""
    from importlib import resources  # it takes longer to import than all of this package

    shipped = resources.files("agentmem_store") / "sql"
    return shipped if shipped.is_dir() else Path(__file__).parents[2] / "sql"


def discover(root: Traversable) -> list[Migration]:
    """Read every migration of every track.

    Args:
        root: the folder with one folder per track; the generated schema.sql in it is left alone.

    Returns:
        the migrations by track (core first, the others by name), then by number.

    Raises:
        MigrationFilesInvalid: the folders are not clean series; the message lists everything found.
    """
    if not root.is_dir():
        raise errors.MigrationFilesInvalid(f"{root}: no such folder of migrations; install the package again")
    findings: list[str] = []
    migrations: list[Migration] = []
    for entry in sorted(root.iterdir(), key=lambda entry: (entry.name != "core", entry.name)):
        if entry.is_dir() and _TRACK.fullmatch(entry.name):
            migrations += _series(entry, findings)
        elif entry.name != "schema.sql":
            findings.append(f"{entry.name}: stray; remove it, or make it a track: a folder named in lower case")
    if findings:
        raise errors.MigrationFilesInvalid("; ".join(findings))
    return migrations


def normalise(content: bytes) -> bytes:
    """Take away what a checkout or an editor adds without changing the SQL: a BOM, and CR before LF."""
    return content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")


def holds_statement(sql: str) -> bool:
    """Tell whether there is more than space, semicolons and comments (which nest in PostgreSQL)."""
    depth = at = 0
    while token := (_COMMENT if depth else _BLANK).match(sql, at):
        depth += {"/*": 1, "*/": -1}.get(token[0], 0)
        at = token.end()
    return at < len(sql)


def line_of(sql: str, at: int) -> int:
    """Return the line, from 1, of the character at index `at`."""
    return sql.count("\n", 0, at) + 1


def _series(track: Traversable, findings: list[str]) -> Iterator[Migration]:
    """Read one track, and check that its numbers run from 1."""
    previous = 0
    for folder in sorted(track.iterdir(), key=lambda entry: entry.name):
        label = f"{track.name}/{folder.name}"
        named = _FOLDER.fullmatch(folder.name)
        if not named or not folder.is_dir():
            findings.append(f"{label}: stray; remove it, or make it a folder named like 0001_some_name")
            continue
        version = int(named[1])
        if version == previous:
            findings.append(f"{label}: its number is taken twice; give one of the two the next free number")
        elif version != previous + 1:
            findings.append(f"{label}: {previous + 1:04d} is missing before it; numbers run from 0001 without gaps")
        previous = version
        strays = sorted({entry.name for entry in folder.iterdir()} - {"up.sql", "down.sql"})
        findings += [f"{label}/{name}: stray; only up.sql and down.sql belong here" for name in strays]
        up, down = (_read(folder / file, f"{label}/{file}", findings) for file in ("up.sql", "down.sql"))
        yield Migration(track.name, version, named[2], hashlib.sha256(up.encode()).hexdigest(), up, down)
    if not previous:
        findings.append(f"{track.name}: holds no migration; remove it, or add 0001_some_name")


def _read(path: Traversable, label: str, findings: list[str]) -> str:
    """Return the text as it is hashed and sent; after a finding, it does not matter."""
    if not path.is_file():
        findings.append(f"{label}: is missing; every migration has an up.sql and a down.sql")
        return ""
    sql = normalise(path.read_bytes()).decode(errors="surrogateescape")
    if wrong := re.search("[\0\udc80-\udcff]", sql):
        findings.append(f"{label}:{line_of(sql, wrong.start())}: not text in UTF-8; save it as that")
        return ""
    if copy := _COPY_FROM_STDIN.search(sql):
        findings.append(f"{label}:{line_of(sql, copy.end())}: COPY FROM STDIN has no input here; use INSERT")
    if path.name == "up.sql" and not holds_statement(sql):
        findings.append(f"{label}: holds no statement; write it, or remove the folder")
    return sql
