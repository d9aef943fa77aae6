"""A dump as a file of bytes: written whole or not at all, read line by line, compressed where its name says so."""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from agentmem_store.errors import Problem, ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

__all__ = ["DumpInvalid", "Writer", "read_lines", "replacing"]

_BUFFER_BYTES: Final = 2**20
# The server cannot make a text of more, and a row is one; a longer line is read in pieces, none of which is a row.
_LINE_BYTES: Final = 2**30


class DumpInvalid(ValidationError):
    """A file that cannot be loaded; nothing of it was stored. The text is one line: file, line and reason.

    Attributes:
        path: the file.
        line: the number, from 1, of the line or of the first of several; None when it is the file as a whole.
    """

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        self.path, self.line = path, line
        super().__init__([Problem(None, "file", reason)])

    def __str__(self) -> str:
        place = str(self.path) if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.problems[0].reason}"


class Writer:
    """Gathers lines, and hands them to a thread a megabyte at a time."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._size = 0

    async def write(self, line: bytes) -> None:
        """Append a line. Raises OSError when the disk says no, here or with a later line."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _BUFFER_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Write what is gathered."""
        lines, self._lines, self._size = self._lines, [], 0
        await anyio.to_thread.run_sync(self._file.writelines, lines)


@asynccontextmanager
async def replacing(path: Path) -> AsyncGenerator[Writer, None]:
    """Yield a writer whose file takes the place of `path` when the block ends well, and vanishes when it does not.

    The file is readable for its owner alone, and on the disk before it is renamed.
    """
    opened: tuple[int, str] = await anyio.to_thread.run_sync(
        partial(tempfile.mkstemp, prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    )
    part = Path(opened[1])
    try:
        with os.fdopen(opened[0], "wb") as raw:
            with _packing(raw) if path.suffix == ".gz" else nullcontext(raw) as file:
                writer = Writer(file)
                yield writer
                await writer.flush()
            await anyio.to_thread.run_sync(partial(_settle, raw))
        await anyio.to_thread.run_sync(partial(_rename, part, path))
    except BaseException:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(part.unlink, missing_ok=True))
        raise


def _packing(raw: IO[bytes]) -> gzip.GzipFile:
    # Neither name nor time goes into it: the same lines give the same bytes.
    return gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)


def _settle(raw: IO[bytes]) -> None:
    raw.flush()
    os.fsync(raw.fileno())


def _rename(part: Path, path: Path) -> None:
    """Rename, and bring the new name to the disk as well."""
    part.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_lines(path: Path) -> Generator[tuple[int, bytes]]:
    """Yield the lines of a file, with their line ends, and their numbers from 1.

    Raises:
        DumpInvalid: it cannot be opened or read, or is not compressed as its name says.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(iter(partial(file.readline, _LINE_BYTES + 1), b""), start=1):
                yield number, line
    except OSError as error:
        reason = error.strerror or "it is not gzip, or no longer whole"
        raise DumpInvalid(path, number + 1 if number else None, f"cannot be read: {reason}") from error
    except (EOFError, zlib.error) as error:
        raise DumpInvalid(path, number + 1, "ends or breaks off within compressed data: copy the file again") from error
