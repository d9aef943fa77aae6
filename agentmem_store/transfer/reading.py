"""Reading a dump: once to see that it is whole and fits, once to get its rows."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import pydantic

from agentmem_store.transfer.files import DumpInvalid, read_lines
from agentmem_store.transfer.format import FORMAT, LAST_BEGINS, Header, Kind, Last, Sum, Tally, columns_of, sha256

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

__all__ = ["Batch", "Contents", "batches", "check"]

_BATCH_ROWS: Final = 1_000
_BATCH_BYTES: Final = 4 * 2**20

_ROW: Final = re.compile(rb'\{"table":"([a-z_]+)","row":(\{.*\})\}\n')
_COPY_AGAIN: Final = "copy the file again, or dump again"


class Contents(NamedTuple):
    """What a file was found to hold."""

    header: Header
    sums: dict[str, Sum]


@dataclass(slots=True)
class Batch:
    """Rows of one table, in their order.

    Attributes:
        table: its name.
        line: the number of the first one's line.
        rows: each as the JSON that the server made.
        size: the bytes of their lines.
    """

    table: str
    line: int
    rows: list[str] = field(default_factory=list[str])
    size: int = 0

    def takes(self, table: str) -> bool:
        """Whether another row of that table goes to the server together with these."""
        return table == self.table and len(self.rows) < _BATCH_ROWS and self.size < _BATCH_BYTES


def check(path: Path) -> Contents:
    """Read a file from end to end, and return what it holds.

    Raises:
        DumpInvalid: it is not a dump, is of another format or other columns, ends too early, or a line was changed.
    """
    number = 1
    with closing(read_lines(path)) as lines:
        _, first = next(lines, (1, b""))
        header = _header(path, first)
        tally, begins = Tally(header.agent_id), dict[str, int]()
        for number, line in lines:
            if line.startswith(LAST_BEGINS):
                _compare(path, number, line, Last(header_sha256=sha256(first), tables=tally.sums()), begins)
                _check_end(path, lines)
                return Contents(header, tally.sums())
            table, _ = _row(path, number, line)
            begins.setdefault(table, number)
            if table not in tally or table != next(reversed(begins)):
                raise DumpInvalid(path, number, f"a row of this table does not stand here in a dump: {_COPY_AGAIN}")
            tally.add(table, line)
    raise DumpInvalid(path, number, f"the file ends here, before the line with its sums: {_COPY_AGAIN}")


def batches(path: Path) -> Generator[Batch]:
    """Yield the rows of a file that was checked, in batches of one table each.

    Raises:
        DumpInvalid: the file was changed since.
    """
    batch: Batch | None = None
    for number, line in read_lines(path):
        if number == 1 or line.startswith(LAST_BEGINS):
            continue
        table, row = _row(path, number, line)
        if batch is None or not batch.takes(table):
            if batch is not None:
                yield batch
            batch = Batch(table, number)
        batch.rows.append(row)
        batch.size += len(line)
    if batch is not None:
        yield batch


def _header(path: Path, line: bytes) -> Header:
    try:
        kind = Kind.model_validate_json(line)
    except pydantic.ValidationError:
        raise DumpInvalid(path, 1, "is not the first line of a dump of this store: is it the right file?") from None
    if kind.format != FORMAT:
        raise DumpInvalid(path, 1, f"is of format {kind.format}, and this release reads {FORMAT}: load it by another")
    try:
        header = Header.model_validate_json(line)
    except pydantic.ValidationError:
        raise DumpInvalid(path, 1, f"the first line was changed: {_COPY_AGAIN}") from None
    ours = columns_of(header.agent_id)
    if header.columns != ours:
        other = ", ".join(name for name in ours if ours[name] != header.columns.get(name)) or "tables unknown here"
        reason = f"was dumped at schema version {header.schema_version}, and differs from this release in: {other}"
        raise DumpInvalid(path, 1, f"{reason}; load it with the release that wrote it, then migrate")
    return header


def _row(path: Path, number: int, line: bytes) -> tuple[str, str]:
    """Return the table and the JSON of a row's line."""
    match = _ROW.fullmatch(line)
    try:
        if match is not None:
            return match[1].decode(), match[2].decode()
    except UnicodeDecodeError:
        pass
    raise DumpInvalid(path, number, f"is not a row as a dump has it, cut short or changed: {_COPY_AGAIN}")


def _compare(path: Path, number: int, line: bytes, found: Last, begins: dict[str, int]) -> None:
    """Hold what the last line says against what was found, and say where they part."""
    try:
        said = Last.model_validate_json(line)
    except pydantic.ValidationError:
        raise DumpInvalid(path, number, f"the line with the sums was cut short or changed: {_COPY_AGAIN}") from None
    if said.header_sha256 != found.header_sha256:
        raise DumpInvalid(path, 1, f"the first line was changed: {_COPY_AGAIN}")
    for table, held in found.tables.items():
        if said.tables.get(table) != held:
            place = begins.get(table, number)
            lines = f"lines {place} to {place + held.rows - 1}" if held.rows else "no line"
            reason = f"the rows of {table} ({lines}) are not those that were dumped: {_COPY_AGAIN}"
            raise DumpInvalid(path, place, reason)


def _check_end(path: Path, lines: Iterator[tuple[int, bytes]]) -> None:
    for number, _ in lines:
        raise DumpInvalid(path, number, f"stands behind the line with the sums, which is the last: {_COPY_AGAIN}")
