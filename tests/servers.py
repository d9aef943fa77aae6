"""Servers that tests run on, and statements that only a test's superuser runs."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

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


def why_no_pgbouncer() -> str | None:
    """Say why PgBouncer cannot be started here; None when it can."""
    return None if shutil.which("pgbouncer") else "there is no pgbouncer here: install the package of that name"


@contextmanager
def pgbouncer(server: str, **settings: object) -> Iterator[str]:
    """Run PgBouncer in transaction mode before every database of a server; yield the DSN of the maintenance database.

    Args:
        server: the server's DSN.
        settings: of PgBouncer, beside those that make it run.
    """
    upstream = urlsplit(server)
    options = dict(parse_qsl(upstream.query))
    host, port = options.get("host", upstream.hostname), options.get("port", upstream.port or 5432)
    with socket.create_server(("127.0.0.1", 0)) as free:
        own_port = free.getsockname()[1]
    said = {
        "listen_addr": "127.0.0.1", "listen_port": own_port, "unix_socket_dir": "", "pool_mode": "transaction",
        "auth_type": "trust", "auth_file": "users", "max_client_conn": 500, "logfile": "log", **settings,
    }  # fmt: skip
    lines = ["[databases]", f"* = host={host} port={port}", "[pgbouncer]", *(f"{k} = {v}" for k, v in said.items())]
    with open_directory() as home:
        (home / "users").write_text(f'"{unquote(upstream.username or "postgres")}" "{upstream.password or ""}"\n')
        (home / "ini").write_text("\n".join(lines))
        home.chmod(0o777)
        # A server's socket is private to its account, and as root PgBouncer does not run.
        account = Path(host or "").stat().st_uid if "host" in options else pwd.getpwnam("nobody").pw_uid
        user = account if os.geteuid() == 0 else None
        with subprocess.Popen(["pgbouncer", "-q", "ini"], cwd=home, stderr=subprocess.DEVNULL, user=user) as process:
            try:
                _await_port(own_port, process, home / "log")
                who = upstream.netloc.rpartition("@")[0]
                yield urlunsplit(upstream._replace(netloc=f"{who}@127.0.0.1:{own_port}", query="sslmode=disable"))
            finally:
                process.terminate()


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(500):
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None, log.read_text() if log.exists() else "it ended at once"
        time.sleep(0.02)
    raise AssertionError("nothing answers: " + log.read_text())
