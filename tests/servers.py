"""Servers that tests run on, and statements that only a test's superuser runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from agentmem_store import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

# Any image that takes the official one's variables and has pgvector will do, such as one of a private registry.
CONTAINER_IMAGE = os.environ.get("AGENTMEM_TEST_IMAGE", "pgvector/pgvector:pg17")


@contextmanager
def open_directory() -> Iterator[Path]:
    """A temporary directory that other accounts can enter, as the embedded server's does when root runs the tests."""
    directory = Path(tempfile.mkdtemp(prefix="agentmem-test-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def on_database(dsn: str, name: str) -> str:
    """Return the DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def admin(dsn: str, statement: str) -> None:
    """Run a statement that cannot run in a transaction, such as CREATE DATABASE."""
    connection = await connect.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def why_no_docker(*, image: str | None = None) -> str | None:
    """Say why no container can be started here; None when one can.

    Docker is asked as testcontainers will ask it, in a process of its own: where none answers, a socket stays open.

    Args:
        image: must be on this machine; None where it may be pulled.
    """
    ask = "from testcontainers.core.docker_client import DockerClient; docker = DockerClient().client"
    if image is not None:
        ask += f"; docker.images.get({image!r})"
    asked = subprocess.run(
        [sys.executable, "-c", f"{ask}; docker.close()"], capture_output=True, text=True, check=False
    )
    return asked.stderr.strip().splitlines()[-1] if asked.returncode else None
