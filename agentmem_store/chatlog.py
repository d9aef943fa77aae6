"""Chat logs: JSONL files, a message to a line, stored so that the same file can be loaded again.

A line is an object with ``role`` and ``content`` (a string, or a list of parts) and whatever else `NewMessage` has. A
line without ``id`` is known by what it says: its id is made of the agent, of all its fields, and of how often the same
came before it in the file. So a file loaded again stores nothing twice, and one that has grown adds its new lines.
"""

from __future__ import annotations

import codecs
import json
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from uuid import UUID, uuid5

import pydantic_core

from agentmem_store.blocking import in_thread
from agentmem_store.errors import Conflict, FileInvalid, NotFound, Problem, ValidationError
from agentmem_store.inputs import check_uuid
from agentmem_store.models.messages import NewMessage
from agentmem_store.repositories import messages
from agentmem_store.repositories.reading import found
from agentmem_store.statements import chatlog as statements

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator

    from agentmem_store.models.messages import Message
    from agentmem_store.scope import Scope

__all__ = ["ChatFileInvalid", "Imported", "load"]

# A batch is sent when it has so many lines, or so many bytes: of long lines few make one.
_BATCH_LINES: Final = 500
_BATCH_BYTES: Final = 4 * 2**20
# The longest text, every character of it escaped as \uXXXX, and as much again for the rest.
_LINE_BYTES: Final = 128 * 2**20

_FIELD_SHOWN: Final = 60
_SAYING: Final = frozenset({"text", "content", "tool_calls", "tool_returns"})


class Imported(NamedTuple):
    """What became of a file: its lines (blank ones not counted), how many of them were stored, how many were known."""

    lines: int
    stored: int
    known: int


class ChatFileInvalid(FileInvalid):
    """A chat log that cannot be stored; nothing of it was."""


async def load(
    scope: Scope, agent_id: UUID, path: str | os.PathLike[str], *, on_progress: Callable[[int], None] | None = None
) -> Imported:
    """Append a chat log to an agent's conversation, in the order of its lines: the whole file or nothing.

    The file is read as it is stored: of its text a batch at a time is in memory, and about 100 bytes for each line, to
    tell repeated lines apart. Other appends to the agent wait until it is done.

    Args:
        agent_id: whose conversation.
        path: a file in UTF-8 with one JSON object a line, of at most 128 MiB each; a BOM and blank lines are skipped.
            Fields are those of `NewMessage`, except that a string as ``content`` becomes its text; null is as if left
            out. An ``id`` must be a UUID.
        on_progress: called after each batch with the bytes read so far.

    Raises:
        ChatFileInvalid: the file cannot be read, or a line cannot be stored. Also for an id that is stored with other
            content, or a user_id that is not there.
        NotFound: the agent is not visible in this organization.
    """
    check_uuid(agent_id, "agent_id")
    file, lines, read = Path(path), 0, 0
    async with scope.transaction() as tx:
        last: int | None = await tx.fetch_optional(statements.BEGIN, agent_id)
        before = newest = found(last, "agent")
        with closing(_batches(file, agent_id)) as batches:
            while batch := await in_thread(next, batches, None):
                rows = await _append(tx, agent_id, file, batch)
                newest = max([newest, *(row.seq for row in rows)])
                lines, read = lines + len(rows), read + batch.size
                if on_progress is not None:
                    on_progress(read)
    stored = newest - before
    return Imported(lines, stored, lines - stored)


@dataclass(slots=True)
class _Batch:
    """Messages by the number of their line, and how many bytes were read for them."""

    messages: dict[int, NewMessage] = field(default_factory=dict[int, NewMessage])
    size: int = 0


async def _append(tx: Scope, agent_id: UUID, path: Path, batch: _Batch) -> list[Message]:
    try:
        return await messages.append(tx, agent_id, [*batch.messages.values()])
    except (Conflict, NotFound):
        # Which line was it? The transaction is lost, and still takes statements: sent one by one, the line shows.
        for line, message in batch.messages.items():
            await _append_line(tx, agent_id, path, line, message)
        raise


async def _append_line(tx: Scope, agent_id: UUID, path: Path, line: int, message: NewMessage) -> None:
    try:
        await messages.append(tx, agent_id, [message])
    except Conflict as error:
        raise ChatFileInvalid(path, line, [Problem(None, "id", str(error))]) from error
    except NotFound as error:
        if error.entity != "user":
            raise
        raise ChatFileInvalid(path, line, [Problem(None, "user_id", str(error))]) from error


def _batches(path: Path, agent_id: UUID) -> Generator[_Batch]:
    """Read a file into batches. Raises ChatFileInvalid at the first line that is wrong."""
    batch, seen = _Batch(), dict[int, int]()
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(iter(partial(file.readline, _LINE_BYTES + 1), b""), start=1):
                line = raw.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").rstrip()
                if line:
                    batch.messages[number] = _message(path, number, line, agent_id, seen)
                batch.size += len(raw)
                if len(batch.messages) >= _BATCH_LINES or batch.size >= _BATCH_BYTES:
                    yield batch
                    batch = _Batch()
    except OSError as error:
        raise ChatFileInvalid(path, None, [Problem(None, "open", error.strerror or type(error).__name__)]) from error
    yield batch


def _message(path: Path, number: int, line: bytes, agent_id: UUID, seen: dict[int, int]) -> NewMessage:
    try:
        fields = _parse(line)
        return _identified(_checked(fields), agent_id, seen, given="id" in fields)
    except ValidationError as error:
        raise ChatFileInvalid(path, number, error.problems) from None


def _parse(line: bytes) -> dict[str, Any]:
    """Return the fields of a line that are not null."""
    if len(line) > _LINE_BYTES:
        raise ValidationError.of("length", f"the line is longer than {_LINE_BYTES // 2**20} MiB")
    try:
        value: Any = pydantic_core.from_json(line.decode())
    except UnicodeDecodeError as error:
        reason = f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8"
        raise ValidationError.of("encoding", reason) from None
    except ValueError as error:
        raise ValidationError.of("JSON", str(error).replace(" at line 1 column ", " at column ")) from None
    if not isinstance(value, dict):
        raise ValidationError.of("JSON", 'must be an object, such as {"role": "user", "content": "Hello"}')
    fields = cast("dict[str, Any]", value)
    return {name: value for name, value in fields.items() if value is not None}


def _checked(fields: dict[str, Any]) -> NewMessage:
    """Make the message of a line's fields; what is wrong is told by the names that the line has."""
    content = fields.get("content")
    is_text = isinstance(content, str)
    if is_text:
        if "text" in fields:
            raise ValidationError.of("content", "is a second text; give the text once")
        fields = {"text" if name == "content" else name: value for name, value in fields.items()}
    elif content is not None and not isinstance(content, list):
        raise ValidationError.of("content", "must be a string or a list of parts")
    elif not fields.keys() & _SAYING:
        raise ValidationError.of("content", "Field required")
    try:
        return NewMessage.model_validate(fields)
    except ValidationError as error:
        raise ValidationError([_as_written(problem, is_text=is_text) for problem in error.problems]) from None


def _as_written(problem: Problem, *, is_text: bool) -> Problem:
    """Name the field as the line does, on one line: an unknown one is whatever the file has there."""
    name = "content" if is_text and problem.field == "text" else problem.field[:_FIELD_SHOWN]
    return problem._replace(field=name if name.isprintable() else ascii(name))


def _identified(new: NewMessage, agent_id: UUID, seen: dict[int, int], *, given: bool) -> NewMessage:
    """Return the message with its id, and take note of it."""
    row_id = new.id if given else uuid5(agent_id, _canonical(new))
    key = hash(row_id)  # 61 bits of it, the same in every process; the UUIDs themselves would take twice the memory
    times = seen[key] = seen.get(key, -1) + 1
    if given and times:
        raise ValidationError.of("id", "was given to an earlier line of this file")
    if given:
        return new
    return new.model_copy(update={"id": uuid5(row_id, str(times)) if times else row_id})


def _canonical(new: NewMessage) -> str:
    """Write all that a message says in one form, however its line was written. Stored ids hang on it: never change."""
    said = {name: value for name, value in new if name != "id" and value not in (None, {})}
    return json.dumps(said, default=str, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
