"""What the folders say: sql/<track>/NNNN_name/{up,down}.sql, read into `Migration` values."""

from __future__ import annotations

import codecs
import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

__all__ = ["Migration", "Script", "Step", "discover", "normalise", "place_of", "sql_root"]

_TRACK: Final = re.compile(r"[a-z][a-z0-9_]*")
_FOLDER: Final = re.compile(r"(?!0000)([0-9]{4})_([a-z][a-z0-9_]*)")
_BLANK: Final = re.compile(r"[\s;]+|--[^\r\n]*|/\*")
_COMMENT: Final = re.compile(r"/\*|\*/|[^/*]+|[/*]")
_DIRECTIVE: Final = re.compile(r"^[ \t]*--[ \t]*agentmem:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_TIMEOUT: Final = re.compile(r"(lock|statement)-timeout (\d{1,6})(ms|s|min|h)")
_UNITS_MS: Final = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True)
class Step:
    """One migration's identity: its track's folder, its number in it (from 1), its name, its up.sql's SHA-256.

    `chain` is the SHA-256 of this and of all before it in the track: equal chains are equal histories.
    """

    track: str
    version: int
    name: str
    checksum: str
    chain: str

    def __str__(self) -> str:
        return f"{self.track}/{self.version:04d}_{self.name}"

    def chained(self, before: str) -> str:
        """Return the chain of this step after one with the chain `before`; the first comes after none, ``""``."""
        return hashlib.sha256(f"{before}\n{self}\n{self.checksum}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Script:
    """One file: where it is, its text, normalised, and what its lines ``-- agentmem: …`` say.

    Attributes:
        in_transaction: False where it says ``no-transaction``.
        lock_timeout_ms: ``lock-timeout 5s``: how long a statement waits for a lock; None where the file does not say.
        statement_timeout_ms: ``statement-timeout 10min``: how long a statement may take; None likewise.
    """

    path: str
    sql: str = field(repr=False)
    in_transaction: bool = True
    lock_timeout_ms: int | None = None
    statement_timeout_ms: int | None = None

    @property
    def holds_statement(self) -> bool:
        """Whether there is more than space, semicolons and comments (which nest in PostgreSQL)."""
        depth = at = 0
        while token := (_COMMENT if depth else _BLANK).match(self.sql, at):
            depth += {"/*": 1, "*/": -1}.get(token[0], 0)
            at = token.end()
        return at < len(self.sql)


@dataclass(frozen=True, slots=True)
class Migration(Step):
    """A step as the files have it."""

    up: Script
    down: Script


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
        the migrations by track (core first, the others by name), then by number. Gaps in the numbers are left for
        `drift.compare`, which knows whether something applied is missing there.

    Raises:
        MigrationFilesInvalid: the folders are not clean; the message lists everything found.
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


def place_of(sql: str, at: int) -> tuple[int, int]:
    """Return line and column, each from 1, of the character at index `at`."""
    return sql.count("\n", 0, at) + 1, at - sql.rfind("\n", 0, at)


def _series(track: Traversable, findings: list[str]) -> Iterator[Migration]:
    """Read one track."""
    version, chain = 0, ""
    for folder in sorted(track.iterdir(), key=lambda entry: entry.name):
        label = f"{track.name}/{folder.name}"
        named = _FOLDER.fullmatch(folder.name)
        if not named or not folder.is_dir():
            findings.append(f"{label}: stray; remove it, or make it a folder named like 0001_some_name")
            continue
        if int(named[1]) == version:
            findings.append(f"{label}: its number is taken twice; give one of the two the next free number")
        version = int(named[1])
        strays = sorted({entry.name for entry in folder.iterdir()} - {"up.sql", "down.sql"})
        findings += [f"{label}/{name}: stray; only up.sql and down.sql belong here" for name in strays]
        up, down = (_read(folder / file, f"{label}/{file}", findings) for file in ("up.sql", "down.sql"))
        checksum = hashlib.sha256(up.sql.encode()).hexdigest()
        chain = Step(track.name, version, named[2], checksum, "").chained(chain)
        yield Migration(track.name, version, named[2], checksum, chain, up, down)
    if not version:
        findings.append(f"{track.name}: holds no migration; remove it, or add 0001_some_name")


def _read(path: Traversable, label: str, findings: list[str]) -> Script:
    """Return the script as it is hashed and sent; after a finding, it does not matter."""
    if not path.is_file():
        findings.append(f"{label}: is missing; every migration has an up.sql and a down.sql")
        return Script(label, "")
    sql = normalise(path.read_bytes()).decode(errors="surrogateescape")
    if wrong := re.search("[\0\udc80-\udcff]", sql):
        findings.append(f"{label}:{place_of(sql, wrong.start())[0]}: not text in UTF-8; save it as that")
        return Script(label, "")
    script = _directed(Script(label, sql), findings)
    if path.name == "up.sql" and not script.holds_statement:
        findings.append(f"{label}: holds no statement; write it, or remove the folder")
    return script


def _directed(script: Script, findings: list[str]) -> Script:
    """Return the script with what its directives say. They may stand anywhere, each on a line of its own."""
    for said in _DIRECTIVE.finditer(script.sql):
        if said[1] == "no-transaction":
            script = replace(script, in_transaction=False)
        elif timeout := _TIMEOUT.fullmatch(said[1]):
            ms: dict[str, Any] = {f"{timeout[1]}_timeout_ms": int(timeout[2]) * _UNITS_MS[timeout[3]]}
            script = replace(script, **ms)
        else:
            line = place_of(script.sql, said.start(1))[0]
            known = "no-transaction, lock-timeout 5s, statement-timeout 10min"
            findings.append(f"{script.path}:{line}: there is no such directive; write one of: {known}")
    return script
