"""What the commands print: tables on stdout, errors and progress on stderr."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from rich.progress import ProgressColumn

    from agentmem_store.chatlog import Imported
    from agentmem_store.migrations import Applied, Status
    from agentmem_store.models.messages import Message, MessageHit

__all__ = [
    "bytes_bar",
    "counting_bar",
    "error",
    "files_table",
    "hits_table",
    "line",
    "messages_table",
    "status_table",
    "steps",
    "task_of",
]

_ERROR_LENGTH: Final = 500
_TEXT_LENGTH: Final = 500  # far beyond a terminal's width, to which the table cuts
_WHO_LENGTH: Final = 20
_TIME: Final = "%Y-%m-%d %H:%M"


def line(text: str = "", *, style: str = "") -> None:
    """Print a line as it is, without markup."""
    Console().print(Text(text), style=style, soft_wrap=True)


def error(problem: Exception) -> None:
    """Print an error as one line on stderr."""
    reason = str(problem) or type(problem).__name__
    if isinstance(problem, OSError) and problem.filename and problem.strerror:
        reason = f"{problem.filename}: {problem.strerror}"
    said = Text.assemble(("error: ", "bold red"), _one_line(reason, _ERROR_LENGTH))
    Console(stderr=True).print(said, soft_wrap=True)


def bytes_bar() -> Progress:
    """Make a progress bar over bytes. Where stderr is no terminal it shows nothing."""
    return _bar(DownloadColumn())


@contextmanager
def counting_bar(name: str) -> Generator[Callable[[int, int], None]]:
    """Show a progress bar over things that are counted, and yield what to call with those done and those to do."""
    with _bar(MofNCompleteColumn()) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _bar(amount: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), amount, TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def task_of(bar: Progress, path: Path) -> Generator[Callable[[int], None]]:
    """Show a file in the bar, and yield what to call with the number of its bytes that are done."""
    task = bar.add_task(path.name, total=path.stat().st_size if path.is_file() else None)
    yield lambda done: bar.update(task, completed=done)
    bar.remove_task(task)


def files_table(files: Sequence[tuple[str, str, Imported]]) -> None:
    """Print what became of files: path, agent, counts."""
    table = _table(None, "File", "Agent", right=("Lines", "New", "Known"))
    for path, agent, counts in files:
        table.add_row(_folded(path), _folded(agent), *map(str, counts))
    if len(files) > 1:
        table.add_section()
        table.add_row("total", "", *(str(sum(column)) for column in zip(*(row[2] for row in files), strict=True)))
    Console().print(table)


def messages_table(title: str, rows: Sequence[Message]) -> None:
    """Print messages, a line each."""
    table = _table(title, "Time", "Who", text="Text")
    for row in rows:
        table.add_row(*_message(row))
    Console().print(table)


def hits_table(title: str, hits: Sequence[MessageHit], *, in_full: bool = False) -> None:
    """Print what a search found: a line each, or in full."""
    table = _table(title, "Score", "Time", "Who", text="Text")
    for hit in hits:
        table.add_row(f"{hit.score:.3f}", *_message(hit.message, in_full=in_full))
    Console().print(table)


def steps(verb: str, rows: Sequence[Applied]) -> None:
    """Print what was done to migrations, a line each."""
    for row in rows:
        line(f"{verb} {row}")
    if not rows:
        line("nothing to do")


def status_table(status: Status) -> None:
    """Print how a database stands to the migrations: the applied, the pending, and what is wrong."""
    table = _table(None, "Migration", "State", "Applied at", "By", right=("ms",))
    for row in status.applied:
        table.add_row(str(row), "applied", row.applied_at.strftime(_TIME), row.applied_by, str(row.duration_ms))
    for step in status.pending:
        table.add_row(str(step), Text("pending", "yellow"), "", "", "")
    Console().print(table)
    for problem in status.problems:
        line(f"problem: {problem}", style="red")


def _table(title: str | None, *columns: str, right: Sequence[str] = (), text: str | None = None) -> Table:
    """Make a table. With a text column, that one alone gives way on a narrow terminal."""
    table = Table(title=Text(title) if title else None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, no_wrap=text is not None)
    for column in right:
        table.add_column(column, justify="right")
    if text is not None:
        table.add_column(text)
    return table


def _message(row: Message, *, in_full: bool = False) -> tuple[str, Text, Text]:
    said = _folded(_words(row)) if in_full else _cell(_words(row))
    return row.created_at.strftime(_TIME), _cell(row.name or row.role, _WHO_LENGTH), said


def _words(row: Message) -> str:
    """Return what was said: the text, else the parts' texts."""
    if row.text is not None:
        return row.text
    parts = cast("list[str | dict[str, Any]]", row.content or [])
    return " ".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in parts)


def _cell(text: str, most: int = _TEXT_LENGTH) -> Text:
    """Make a cell of one line, which the table cuts to its column's width."""
    return Text(_one_line(text, most), no_wrap=True, overflow="ellipsis")


def _folded(text: str) -> Text:
    """Make a cell that takes as many lines as it needs."""
    return Text(_one_line(text, _TEXT_LENGTH), overflow="fold")


def _one_line(text: str, most: int) -> str:
    """Take out line breaks, and what could steer a terminal."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 2 * most])
    return " ".join(shown.split())[:most]
