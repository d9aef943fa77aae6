"""A dump as a file of bytes: written whole or not at all, read line by line, compressed where its name says so."""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from agentmem_store.blocking import in_thread
from agentmem_store.errors import FileInvalid, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

__all__ = ["DumpInvalid", "Writer", "read_lines", "replacing"]

_BUFFER_BYTES: Final = 2**20
# The server cannot make a text of more, and a row is one; a longer line is read in pieces, none of which is a row.
_LINE_BYTES: Final = 2**30


class DumpInvalid(FileInvalid):
    """A file that cannot be loaded; nothing of it was stored."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        super().__init__(path, line, [Problem(None, "", reason)])


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
        await in_thread(self._file.writelines, lines)


@asynccontextmanager
async def replacing(path: Path) -> AsyncGenerator[Writer, None]:
    """Yield a writer whose file takes the place of `path` when the block ends well, and vanishes when it does not.

    The file is readable for its owner alone, and on the disk before it is renamed. An OSError names `path`.
    """
    try:
        with _beside(path) as (raw, part):
            with _packing(raw) if path.suffix == ".gz" else nullcontext(raw) as file:
                writer = Writer(file)
                yield writer
                await writer.flush()
            await in_thread(_settle, raw, part, path)
    except OSError as error:
        if error.errno is None:  # a deadline is a TimeoutError, which is an OSError
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def _beside(path: Path) -> Generator[tuple[IO[bytes], Path]]:
    """Open a temporary file in the directory of `path`; unless it is renamed within the block, it vanishes with it."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            yield raw, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _packing(raw: IO[bytes]) -> gzip.GzipFile:
    # Neither name nor time goes into it: the same lines give the same bytes.
    return gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)


def _settle(raw: IO[bytes], part: Path, path: Path) -> None:
    """Bring the file to the disk, rename it, and bring the new name to the disk as well."""
    raw.flush()
    os.fsync(raw.fileno())
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
