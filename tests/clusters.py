"""Servers of a test's own, from the system's packages or the wheel: with TLS, with a standby, killed and promoted."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers import open_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cluster", "clusters", "why_no_cluster"]

_PACKAGES = Path("/usr/lib/postgresql")
_SPEED = ("fsync=off", "full_page_writes=off", "autovacuum=off")


def why_no_cluster() -> str | None:
    """Say why no server of one's own can be started here; None when one can."""
    if _programs() is None:
        return "there is no PostgreSQL here to start servers of: install the package postgresql"
    return None


def _programs() -> Path | None:
    """The programs of the newest version that the system's packages installed, or of the path."""
    packaged = sorted(_PACKAGES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    found = packaged[-1] if packaged else on_path and Path(on_path).resolve()
    return found.parent if found else None


class Cluster:
    """One server on a port of 127.0.0.1, its data below `home`."""

    def __init__(self, home: Path, name: str) -> None:
        self.data = home / name
        self._log = home / f"{name}.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def run(self, program: str, *args: object) -> None:
        """Run one of PostgreSQL's programs, as the server's account."""
        programs = _programs()
        assert programs is not None
        user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            entry = pwd.getpwnam("postgres")
            user = {"user": entry.pw_uid, "group": entry.pw_gid}
        with self._log.open("ab") as log:  # a server that inherited a pipe would keep it open
            done = subprocess.run(
                [programs / program, *map(str, args)], stdout=log, stderr=log, cwd="/", check=False, **user
            )
        assert done.returncode == 0, self._log.read_text()

    def make(self) -> None:
        """Make its data, for a superuser postgres that every local connection may be."""
        self.run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--locale=C.UTF-8", "--no-sync")

    def copy(self, primary: Cluster) -> None:
        """Make its data a copy of another server's, which it follows once it is started."""
        source = f"host=127.0.0.1 port={primary.port} user=postgres"
        self.run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", source)

    def start(self, *settings: str) -> None:
        """Start it, and wait until it answers."""
        said = (f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *_SPEED, *settings)
        self.run("pg_ctl", "-D", self.data, "-w", "-o", " ".join(f"-c {each}" for each in said), "start")

    def stop(self) -> None:
        """End it as a crash would: nothing is written, no client is told goodbye."""
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")

    def promote(self) -> None:
        """Have it stop following, and wait until it takes writes."""
        self.run("pg_ctl", "-D", self.data, "-w", "promote")

    @property
    def is_running(self) -> bool:
        """Whether its data is in use."""
        return (self.data / "postmaster.pid").exists()


@contextmanager
def clusters(*names: str) -> Iterator[list[Cluster]]:
    """Yield servers of those names with nothing done to them yet; those that run at the end are stopped."""
    with open_directory() as home:
        home.chmod(0o777)
        made = [Cluster(home, name) for name in names]
        try:
            yield made
        finally:
            for each in made:
                if each.is_running:
                    each.stop()
