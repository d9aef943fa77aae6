"""The command line of the bench."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from agentmem_store.config import default_dsn
from bench import compare, loops, page, pictures, report, sizes, tables
from bench.questions import QUESTIONS, asks
from bench.running import run
from bench.targets import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run the bench and return the exit status: 0, or 1 if a question failed. A target that is missed fails nothing."""
    if arguments[:1] == ["retrieval"]:
        from bench import retrieval

        asyncio.run(retrieval.main(list(arguments[1:])))
        return 0
    options = _parser().parse_args(arguments)
    unknown = [name for name in options.names if name not in QUESTIONS]
    if unknown:
        _parser().error(f"no such question: {', '.join(unknown)}; there are {', '.join(QUESTIONS)}, retrieval")
    with asyncio.Runner(loop_factory=loops.factory(options.loop)) as runner:
        return runner.run(_main(options))


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, QUESTIONS)) + 2
    listed = "\n".join(f"  {name:<{width}}{asks(name)}" for name in QUESTIONS)
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure, side by side with others, on the server of AGENTMEM_DSN, else on an embedded one.\n"
        "QUICK=1: two minutes at most. FULL=1: up to a million rows and a thousand tenants.",
        epilog=f"questions:\n{listed}\n  {'retrieval':<{width}}How much of the evidence do searches find? "
        "See `python -m bench retrieval --help`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="questions to ask; by default all")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what was found")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write a page with plots, self-contained")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the plots of the documentation, as SVG files")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="show what moved since the run in this JSON")
    parser.add_argument("--show", type=Path, metavar="JSON", help="measure nothing: take what an earlier run found")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="the event loop")
    return parser


async def _main(options: argparse.Namespace) -> int:
    console = Console()
    old = await report.read(options.compare) if options.compare else None

    def show(answer: report.Answer) -> None:
        for part in tables.answer_tables(answer):
            console.print(part)
        if verdicts := judge([answer]):
            console.print(tables.verdict_table(verdicts))

    if options.show:
        found = await report.read(options.show)
        for answer in found.answers:
            show(answer)
    else:
        names = options.names or list(QUESTIONS)
        found = await run(names, default_dsn(), sizes.from_environment(), console, show)
    console.print(tables.environment_table(found.environment))
    console.print(tables.verdict_table(found.verdicts))
    if old:
        _show_moves(console, old, found)
    await _write(found, old, options)
    return int(any(answer.failed for answer in found.answers))


def _show_moves(console: Console, old: report.Report, new: report.Report) -> None:
    for difference in compare.differences(old, new):
        console.print(f"not the same as then: {difference}", style="yellow")
    console.print(compare.move_table(compare.moves(old, new)))


async def _write(found: report.Report, old: report.Report | None, options: argparse.Namespace) -> None:
    if options.json:
        await report.write(found, options.json)
    if options.html:
        drawn = await asyncio.to_thread(page.render, found, old)
        await asyncio.to_thread(options.html.write_text, drawn, "utf-8")
    if options.plots:
        await asyncio.to_thread(pictures.write, found, options.plots)
