"""One embedded server's files, locks and end. Run as a script, this file is the server's watcher.

The kernel keeps the books, because it keeps them after a kill -9 too. Four files are locked with flock:

- ``users.lock``, shared: by every user of the server. Who gets it exclusively knows that nobody uses the server.
- ``start.lock``: by whoever is about to start the server or to leave it.
- ``server.lock``: inherited by the server and its children, so it is free exactly when all of them are gone.
- ``watch.lock``: inherited by the watcher, which waits for ``users.lock`` and then stops the server.

The watcher lives as long as the server does, so it is small: it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LOCALE", "POLL_S", "PORT", "WATCHER", "Account", "Cluster", "detach", "run", "stop", "try_lock", "unlock"]

LOCALE: Final = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"  # macOS has no C.UTF-8
PORT: Final = 5432  # names the socket; nothing listens on the network
_SOCKET: Final = f".s.PGSQL.{PORT}"
POLL_S: Final = 0.02
WATCHER: Final = __file__  # this file, run as a script, is the watcher
_STOP_S: Final = 30  # for each way of stopping
_COMMAND_S: Final = 60

# sun_path holds 104 bytes on macOS and 108 on Linux, the closing NUL included.
_SOCKET_PATH_MAX: Final = 103

# Nothing of the caller's: PGPORT or LC_ALL would change the server, and its secrets are not the server's business.
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": LOCALE, "TZ": "UTC"}


class Account(NamedTuple):
    """Whom the server runs as where that is somebody else, since PostgreSQL refuses to run as root."""

    uid: int
    gid: int


class Cluster(NamedTuple):
    """Where one server lives, what it runs from, and as whom (None: as ourselves)."""

    directory: Path
    bin: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self.directory / "log"

    @property
    def sockets(self) -> Path:
        """The directory of the socket, private to the server's account: ``run``, or a short one where that cannot work.

        A socket's path has a limit of its own, and clients read a comma as the end of a host's name.
        """
        inside = self.directory / "run"
        if len(os.fsencode(inside / _SOCKET)) <= _SOCKET_PATH_MAX and "," not in str(inside):
            return inside
        digest = sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path("/tmp", f"agentmem-{digest}")  # noqa: S108 - short everywhere; its owner and mode are checked

    @property
    def socket(self) -> Path:
        """Where the server takes connections."""
        return self.sockets / _SOCKET

    def lock(self, name: str) -> Path:
        """Return the path of the lock file of that name: users, start, server or watch."""
        return self.directory / f"{name}.lock"

    def pid_file(self) -> list[str]:
        """Return the lines of postmaster.pid, none where there is no such file: pid, directory, …, status."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def answers(self) -> bool:
        """Tell whether the server takes connections; the file alone would outlive a server that was killed."""
        if [line.strip() for line in self.pid_file()[7:8]] != ["ready"]:
            return False
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            return client.connect_ex(str(self.socket)) == 0


def try_lock(path: Path, kind: int, *, create: bool = False) -> int | None:
    """Lock a file without waiting.

    Args:
        path: the file.
        kind: `fcntl.LOCK_SH` or `fcntl.LOCK_EX`.
        create: make the file where it is missing.

    Returns:
        a descriptor that holds the lock, or None when another lock is in the way.

    Raises:
        OSError: the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def unlock(descriptor: int) -> None:
    """Give a lock up. Closing alone would not, if this process was forked while it held the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _options(account: Account | None) -> dict[str, Any]:
    """Return how a command of the server's is started: as its account, out of reach of Ctrl-C, in no directory."""
    options: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL, "start_new_session": True}
    if account is not None:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return options


def run(
    arguments: Sequence[str | Path], account: Account | None, *, keep: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as the server's account, whatever its exit status; kill it after a minute.

    Args:
        arguments: the program and its arguments.
        account: whom to run it as; None for ourselves.
        keep: descriptors it inherits.

    Returns:
        its exit status, and in `stdout` all it said.

    Raises:
        OSError: it cannot be run.
    """
    try:
        return subprocess.run(  # noqa: S603 - the arguments are our own
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
            env=_ENVIRONMENT, timeout=_COMMAND_S, pass_fds=keep, **_options(account),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, -signal.SIGKILL, f"killed after {_COMMAND_S} s")


def detach(
    arguments: Sequence[str | Path],
    account: Account | None,
    *,
    keep: Sequence[int],
    environment: Mapping[str, str],
    output: int = subprocess.DEVNULL,
) -> None:
    """Start a command that outlives this process and is nobody's child, so that no zombie of it remains.

    Args:
        arguments: the program and its arguments.
        account: whom to run it as; None for ourselves.
        keep: descriptors it inherits.
        environment: variables beside the server's usual ones.
        output: the descriptor for all it says.

    Raises:
        OSError: the shell cannot be run.
    """
    subprocess.run(  # noqa: S603 - the arguments are our own
        ["/bin/sh", "-c", '"$@" &', "sh", *arguments], stdout=output, stderr=output, check=False,
        env=_ENVIRONMENT | dict(environment), pass_fds=keep, **_options(account),
    )  # fmt: skip


def stop(cluster: Cluster) -> bool:
    """Stop the server if anything of it lives, and wait for its end. Only for who holds users.lock exclusively.

    Returns:
        whether it is gone: not if it survived a fast and an immediate shutdown, each for half a minute.

    Raises:
        OSError: the lock cannot be opened, or pg_ctl cannot be run.
    """
    for mode in ("fast", "immediate"):
        told, end = False, time.monotonic() + _STOP_S
        while time.monotonic() < end:
            if _gone(cluster):
                return True
            # It is told again until it hears: right after its start it has no postmaster.pid yet.
            told = told or _tell_to_stop(cluster, mode)
            time.sleep(POLL_S)
    return False


def _tell_to_stop(cluster: Cluster, mode: str) -> bool:
    command: list[str | Path] = [cluster.bin / "pg_ctl", "stop", "--no-wait", "--mode", mode, "--pgdata", cluster.data]
    return run(command, cluster.account).returncode == 0


def _gone(cluster: Cluster) -> bool:
    with suppress(FileNotFoundError):  # never started, or the whole directory is gone
        held = try_lock(cluster.lock("server"), fcntl.LOCK_EX)
        if held is None:
            return False
        os.close(held)
    with suppress(OSError):  # not there, or not empty after a kill -9: the next start takes it over
        cluster.sockets.rmdir()
    return True


def _watch(directory: str, binaries: str, uid: str, gid: str, watch_lock: str) -> None:
    """Wait until nobody uses the server any more, and stop it.

    ``watch.lock`` goes first: who gets ``users.lock`` after us then sees that there is no watcher any more.
    """
    account = Account(int(uid), int(gid)) if uid else None
    cluster = Cluster(Path(directory), Path(binaries), account)
    users = os.open(cluster.lock("users"), os.O_RDWR | os.O_NOFOLLOW)
    fcntl.flock(users, fcntl.LOCK_EX)
    stop(cluster)
    os.close(int(watch_lock))
    os.close(users)


if __name__ == "__main__":
    _watch(*sys.argv[1:])
