"""The start of an embedded server: its data directory, its socket's directory, its log, the wait until it answers."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentmem_store.embedded.cluster import LOCALE, POLL_S, PORT, Account, Cluster, detach, run, try_lock, unlock
from agentmem_store.errors import ConfigurationError, ConnectError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ["Patience", "check_data", "ensure_running"]

_START_S: Final = 60
_LOG_BYTES: Final = 10_000_000  # a longer log is put aside as log.old at the next start
_FRESH: Final = ".agentmem-initdb-"


class Patience:
    """Waits in small steps: for a minute at most, and until it is called off."""

    def __init__(self, called_off: threading.Event | None = None) -> None:
        self._called_off = called_off or threading.Event()
        self._end = time.monotonic() + _START_S

    def step(self, reason: str) -> None:
        """Wait for a moment.

        Raises:
            ConnectError: a minute has passed, or it was called off.
        """
        if time.monotonic() > self._end:
            raise ConnectError(f"the embedded server: {reason} for {_START_S} s")
        if self._called_off.wait(POLL_S):
            raise ConnectError("the embedded server: its start was cancelled")

    def lock(self, path: Path, kind: int) -> int:
        """Return a descriptor that holds the lock of that kind on a file."""
        while (held := try_lock(path, kind, create=True)) is None:
            self.step(f"another process has held {path}")
        return held

    @contextmanager
    def holding(self, path: Path) -> Generator[None]:
        """Hold the exclusive lock on a file for the length of the block."""
        held = self.lock(path, fcntl.LOCK_EX)
        try:
            yield
        finally:
            unlock(held)


def check_data(cluster: Cluster, major: str) -> None:
    """Make sure that what is in the data directory is that version's.

    Raises:
        ConfigurationError: another version made it, or it holds something else.
    """
    version = cluster.data / "PG_VERSION"
    if version.exists():
        if (made_by := version.read_text().strip()) != major:
            raise ConfigurationError(
                f"{cluster.data} was made by PostgreSQL {made_by}, and this is {major}: set "
                f"PGSERVER_POSTGRES_VERSION={made_by}, or use another directory"
            )
    elif cluster.data.exists() and any(cluster.data.iterdir()):
        raise ConfigurationError(f"{cluster.data} is no PostgreSQL data directory: use another directory")


def ensure_running(cluster: Cluster, settings: Mapping[str, str], patience: Patience) -> None:
    """Start the server unless it runs, and return once it takes connections. Only for who holds start.lock.

    Args:
        cluster: the server.
        settings: PostgreSQL settings on its command line, if this starts it.
        patience: how long to wait.

    Raises:
        ConnectError: initdb failed, the server ended again, or patience did.
        ConfigurationError: its socket's directory is somebody else's.
        OSError: a file or directory cannot be made.
    """
    _make_socket_directory(cluster)
    log_length: int | None = None
    while not cluster.answers():
        held = try_lock(cluster.lock("server"), fcntl.LOCK_EX, create=True)
        if held is None:  # it is coming up, or the last processes of a killed one are still ending
            patience.step(f"it has not come up (its log is {cluster.log})")
            continue
        try:
            if log_length is not None:
                raise ConnectError(f"the embedded server did not start: {_told_since(log_length, cluster.log)}")
            log_length = _start(cluster, settings, held)
        finally:
            os.close(held)  # the server holds it on


def _start(cluster: Cluster, settings: Mapping[str, str], server_lock: int) -> int:
    """Start the server, which inherits its lock, and return how long its log was before."""
    if not (cluster.data / "PG_VERSION").exists():
        _initialise(cluster, server_lock)
    for left in (cluster.socket, cluster.socket.with_name(f"{cluster.socket.name}.lock")):
        left.unlink(missing_ok=True)  # by a killed server, whose pid in it may be somebody else's by now
    log = _open_log(cluster.log)
    try:
        length = os.fstat(log).st_size
        command: list[str | Path] = [cluster.bin / "postgres", "-D", cluster.data, *_options(cluster, settings)]
        detach(command, cluster.account, keep=[server_lock], environment=_past_life(cluster), output=log)
        return length
    finally:
        os.close(log)


def _initialise(cluster: Cluster, server_lock: int) -> None:
    """Make the data directory beside its place and move it there: a kill leaves none, or a whole one."""
    for leftover in cluster.directory.glob(f"{_FRESH}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=cluster.directory))
    _give(fresh, cluster.account)
    options = [
        "--username=postgres",
        "--encoding=UTF8",
        f"--locale={LOCALE}",
        "--auth-local=trust",
        "--auth-host=reject",
    ]
    done = run([cluster.bin / "initdb", "-D", fresh, *options], cluster.account, keep=[server_lock])
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise ConnectError(f"the embedded server: initdb failed: {_last_lines(done.stdout)}")
    fresh.rename(cluster.data)
    _sync(cluster.directory)


def _sync(directory: Path) -> None:
    """Let the new name survive a power cut, as initdb made sure for all beneath it."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_socket_directory(cluster: Cluster) -> None:
    """Make the socket's directory; one of somebody else's in its place could hold a false server."""
    cluster.sockets.mkdir(mode=0o700, exist_ok=True)
    if cluster.sockets.lstat().st_uid == os.geteuid():
        _give(cluster.sockets, cluster.account)
    found, owner = cluster.sockets.lstat(), cluster.account.uid if cluster.account else os.geteuid()
    if found.st_uid != owner or not stat.S_ISDIR(found.st_mode) or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"{cluster.sockets} must be a directory of the server's own, closed to others: remove it"
        )


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, *account, follow_symlinks=False)


def _open_log(path: Path) -> int:
    with suppress(FileNotFoundError):
        if path.lstat().st_size > _LOG_BYTES:
            path.replace(path.with_name("log.old"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _options(cluster: Cluster, settings: Mapping[str, str]) -> list[str]:
    sockets = str(cluster.sockets).replace('"', '""')
    options = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": f'"{sockets}"',
        "unix_socket_permissions": "0700",
        "log_checkpoints": "off",
        **settings,
    }
    return [f"--{name}={value}" for name, value in options.items()]


def _past_life(cluster: Cluster) -> dict[str, str]:
    """Let the server start where the pid in a killed server's postmaster.pid is another process by now.

    In a container the pids of its last life come again. We hold the server's lock, so none of ours is alive. The
    variable is the one by which pg_ctl names a process that is no server; the check of the shared memory stays.
    """
    lines = cluster.pid_file()
    return {"PG_GRANDPARENT_PID": lines[0]} if lines else {}


def _told_since(length: int, log: Path) -> str:
    with log.open("rb") as file:
        file.seek(length)
        return f"{_last_lines(file.read().decode(errors='replace'))} (its log is {log})"


def _last_lines(text: str) -> str:
    return "; ".join([line.strip() for line in text.splitlines() if line.strip()][-4:])
