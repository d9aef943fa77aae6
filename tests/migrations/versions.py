"""Servers of each major version that is supported, started for a test."""

from __future__ import annotations

import os
import pwd
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from agentmem_store import embedded
from tests.servers import open_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

MAJORS = ["15", "16", "18"]
_FIFTEEN = Path("/usr/lib/postgresql/15/bin")
_QUICK = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


@contextmanager
def server_of(major: str) -> Iterator[str]:
    """Run a server of that version; skip with the reason where there is none."""
    if major == "15":
        if not _FIFTEEN.exists():
            pytest.skip("PostgreSQL 15 is not installed here: the package postgresql-15")
        with _installed(_FIFTEEN) as dsn:
            yield dsn
        return
    with pytest.MonkeyPatch.context() as patch, open_directory() as home, start_blocking_portal() as portal:
        patch.setenv("PGSERVER_POSTGRES_VERSION", major)
        with portal.wrap_async_context_manager(embedded.running(str(home / "pg"), settings=_QUICK)) as running:
            yield running.dsn


@contextmanager
def _installed(programs: Path) -> Iterator[str]:
    with open_directory() as home:
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(home, entry.pw_uid, entry.pw_gid)
            account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", str(home / "data"), *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **account)

        run("initdb", "-U", "postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--no-sync")
        options = " ".join(f"-c {name}={value}" for name, value in _QUICK.items())
        started = f"-k {home} -c listen_addresses='' {options}"
        run("pg_ctl", "--wait", "--silent", "--log", str(home / "log"), "-o", started, "start")
        try:
            yield f"postgresql://postgres@/postgres?host={home}"
        finally:
            run("pg_ctl", "--silent", "--mode", "immediate", "stop")
