"""The command ``agentmem-store``, also as ``python -m agentmem_store``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit status; say what to install where its extra is missing."""
    try:
        from agentmem_store.cli import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"rich", "typer"}:
            raise
        sys.exit("error: the command line needs its extra; run: pip install 'agentmem-store[cli]'")
    app()


if __name__ == "__main__":
    main()
