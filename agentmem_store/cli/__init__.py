"""The command line: its options, its commands, and what becomes of an error."""

from __future__ import annotations

import errno
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from agentmem_store.cli import analysis, chat, demo, doctor, index, migrate, output, transfer, vectors
from agentmem_store.errors import AgentMemError

__all__ = ["app"]


class _OneLineErrors(TyperGroup):
    """Turns the errors of every command into one line on stderr and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (AgentMemError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:  # the reader of our output has gone
                raise
            output.error(error)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_OneLineErrors,
    help="Store and search the memory of AI agents in PostgreSQL.",
    epilog="Exit status: 0 done, 1 an error (one line on stderr) or something found wrong, 2 wrong usage, "
    "3 warnings only (doctor), 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(migrate.app, name="migrate")
app.command("import")(chat.import_files)
app.command("search")(chat.search)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("explain")(analysis.explain)
app.command("slow")(analysis.slow)
app.command("stats")(analysis.stats)
app.command("advise")(analysis.advise)
app.command("report")(analysis.report)
app.command("dump")(transfer.dump)
app.command("load")(transfer.load)
index.app.command("vectors")(vectors.index_vectors)
app.add_typer(index.app, name="index")
app.command("reembed")(vectors.reembed)


@app.callback()
def options(
    ctx: typer.Context,
    dsn: Annotated[
        str | None,
        typer.Option(
            help="postgresql://user@host/name, or embedded:DIRECTORY for a private server. "
            "Default: AGENTMEM_DSN, else the embedded server of this directory.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Take the options that stand before every command."""
    ctx.obj = dsn
