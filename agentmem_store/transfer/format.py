"""The lines of a dump, and what they add up to. Nothing here needs a database."""

from __future__ import annotations

import hashlib
from typing import Final, Literal
from uuid import UUID  # noqa: TC003 - pydantic reads it at run time

import pydantic
from pydantic import AwareDatetime

from agentmem_store.transfer.tables import tables_of

__all__ = [
    "FORMAT",
    "LAST_BEGINS",
    "Header",
    "Kind",
    "Last",
    "Sum",
    "Tally",
    "columns_of",
    "line_of",
    "row_line",
    "sha256",
]

FORMAT: Final = 1
LAST_BEGINS: Final = b'{"header_sha256":'


class Kind(pydantic.BaseModel):
    """What every format's first line has."""

    dump_of: Literal["agentmem_store"]
    format: int


class Header(Kind):
    """The first line.

    Attributes:
        dump_of: what wrote the file.
        format: of the file; this module reads and writes one.
        schema_version: the newest migration of the core track when it was dumped.
        dumped_at: when it was dumped: the file holds what was committed then.
        organization_id: the organization that it is, or that the agent belongs to.
        agent_id: the agent; None when it is the whole organization.
        columns: the tables, and the columns that each row of one has.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    schema_version: int
    dumped_at: AwareDatetime
    organization_id: UUID
    agent_id: UUID | None
    columns: dict[str, list[str]]


class Sum(pydantic.BaseModel):
    """What the lines of one table add up to."""

    model_config = pydantic.ConfigDict(frozen=True)

    rows: int
    sha256: str


class Last(pydantic.BaseModel):
    """The last line, by which a file is known to be whole.

    Attributes:
        header_sha256: of the first line.
        tables: what the lines of each table add up to, those without rows too.
    """

    header_sha256: str
    tables: dict[str, Sum]


class Tally:
    """Adds up lines, a table at a time.

    Args:
        agent_id: the agent of the dump, or None.
    """

    def __init__(self, agent_id: UUID | None) -> None:
        self._rows = {table.name: 0 for table in tables_of(agent_id)}
        self._digests = {name: hashlib.sha256() for name in self._rows}

    def __contains__(self, table: str) -> bool:
        """Whether the dump has this table."""
        return table in self._rows

    def add(self, table: str, line: bytes) -> None:
        """Take in a line."""
        self._rows[table] += 1
        self._digests[table].update(line)

    def sums(self) -> dict[str, Sum]:
        """Return what each table adds up to, those without rows too, in the order of the file."""
        return {name: Sum(rows=rows, sha256=self._digests[name].hexdigest()) for name, rows in self._rows.items()}


def columns_of(agent_id: UUID | None) -> dict[str, list[str]]:
    """Return the tables of a dump and their columns, as its first line has them."""
    return {table.name: table.column_names for table in tables_of(agent_id)}


def line_of(model: Kind | Last) -> bytes:
    """Write the first line or the last."""
    return model.model_dump_json().encode() + b"\n"


def sha256(line: bytes) -> str:
    """Return the SHA-256 of a line, its end included, in hexadecimal."""
    return hashlib.sha256(line).hexdigest()


def row_line(table: str, row: str) -> bytes:
    """Write the line of a row, from the JSON that the server made."""
    return f'{{"table":"{table}","row":{row}}}\n'.encode()
