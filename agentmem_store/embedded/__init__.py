"""A private PostgreSQL server: started by its first user, shared by all, stopped when the last one leaves.

Users are processes, or several parts of one. How they know of each other: `agentmem_store.embedded.cluster`.

In the server's directory: ``data`` (PostgreSQL's own), ``log``, ``run`` (the socket), and the lock files.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import anyio
import anyio.to_thread

from agentmem_store.embedded import binaries, start
from agentmem_store.embedded.cluster import PORT, WATCHER, Cluster, detach, stop, try_lock, unlock
from agentmem_store.embedded.start import Patience
from agentmem_store.errors import ConfigurationError, ConnectError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from agentmem_store.embedded.cluster import Account

__all__ = ["Server", "running"]


class Server(NamedTuple):
    """A running embedded server.

    Attributes:
        dsn: connects to its database ``postgres`` as its superuser, by a socket that only its account and root reach.
        directory: where it keeps everything.
    """

    dsn: str
    directory: Path


@asynccontextmanager
async def running(directory: str = "", *, settings: Mapping[str, str] | None = None) -> AsyncGenerator[Server]:
    """Use the server of a directory, which is made and started where needed, for the length of the block.

    Args:
        directory: where it keeps its data. By default ``./.agentmem``; as root a directory of the current directory's
            own under /var/lib/agentmem_store, because PostgreSQL itself does not run as root.
        settings: PostgreSQL settings for this run, applied only if this call is the one that starts the server.

    Raises:
        ConfigurationError: the directory, the account or the platform cannot work, or the wheel is missing.
        ConnectError: the server did not start within a minute; or, at the end of the block, did not stop.
    """
    if sys.platform == "win32":
        raise ConfigurationError("the embedded server needs Linux or macOS: use a PostgreSQL server and its DSN")
    use = _Use(directory, settings or {})
    try:
        yield await anyio.to_thread.run_sync(use.join)
    finally:
        await _to_its_end(use.leave)


async def _to_its_end(work: Callable[[], None]) -> None:
    """Run it in a thread and wait, however often this task is cancelled: asyncio's own cancel passes anyio's shield."""
    cancelled: asyncio.CancelledError | None = None
    task = asyncio.create_task(anyio.to_thread.run_sync(work))
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


class _Use:
    """One use of a server, from `join` to `leave`, both of which block.

    A task that is cancelled leaves the thread of its `join` behind at work. So `leave` calls it off, waits for it, and
    undoes as much as there is.
    """

    def __init__(self, directory: str, settings: Mapping[str, str]) -> None:
        self._directory, self._settings = directory, settings
        self._called_off = threading.Event()
        self._busy = threading.Lock()
        self._cluster: Cluster | None = None
        self._users: int | None = None

    def join(self) -> Server:
        """Make sure that the server runs, and count as one of its users."""
        with self._busy:
            try:
                return self._join(Patience(self._called_off))
            except OSError as error:
                place = error.filename or "its directory"
                raise ConfigurationError(
                    f"the embedded server cannot use {place}: {error.strerror or error}"
                ) from error

    def _join(self, patience: Patience) -> Server:
        cluster = self._cluster = _prepare(self._directory, patience)
        with patience.holding(cluster.lock("start")):
            self._users = patience.lock(cluster.lock("users"), fcntl.LOCK_SH)
            _ensure_watched(cluster)
            start.ensure_running(cluster, self._settings, patience)
        # With its port: the driver would take a missing one from PGPORT.
        dsn = f"postgresql://postgres@/postgres?host={quote(str(cluster.sockets))}&port={PORT}"
        return Server(dsn, cluster.directory)

    def leave(self) -> None:
        """Give the use up; the last one stops the server."""
        self._called_off.set()
        with self._busy:
            if self._cluster is None or self._users is None:
                return
            stopped = True
            try:
                with suppress(FileNotFoundError), Patience().holding(self._cluster.lock("start")):
                    stopped = not _is_last(self._users) or stop(self._cluster)
            finally:
                unlock(self._users)
                self._users = None
        if not stopped:
            raise ConnectError(f"the embedded server did not stop within a minute; its log is {self._cluster.log}")


def _is_last(users: int) -> bool:
    """Turn the shared lock into an exclusive one, if nobody else has a share. Without success it is lost."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare(directory: str, patience: Patience) -> Cluster:
    """Settle where the server lives, what it runs from and as whom; make the directory."""
    place = _resolve(directory) if directory else _default_directory()
    account = binaries.account_of(place / "data")
    closed = binaries.closed_to(account, place)
    if account is not None and closed is not None:
        name = binaries.account_name(account)
        raise ConfigurationError(
            f"PostgreSQL does not run as root, so the embedded server runs as {name}, to whom {closed} is closed: "
            f"choose a directory elsewhere, such as {binaries.SYSTEM / 'NAME'}, or chmod o+x {closed}"
        )
    cluster = Cluster(place, binaries.find(account, patience.holding), account)
    start.check_data(cluster, binaries.major_version())
    _make(place, account)
    return cluster


def _resolve(directory: str) -> Path:
    try:
        return Path(directory).expanduser().resolve()
    except (RuntimeError, ValueError) as error:  # no such home, or a NUL
        raise ConfigurationError(f"the embedded server's directory has no usable name: {error}") from error


def _default_directory() -> Path:
    here = Path.cwd()
    if os.geteuid() != 0:
        return here / ".agentmem"
    digest = sha256(os.fsencode(here)).hexdigest()[:8]
    return binaries.SYSTEM / f"{here.name[:40] or 'root'}-{digest}"


def _make(directory: Path, account: Account | None) -> None:
    """Make the directory and those above it. What was there keeps its mode."""
    for missing in [path for path in (*reversed(directory.parents), directory) if not path.exists()]:
        missing.mkdir(exist_ok=True)
        if account is not None:  # whatever our umask, the server's account has to pass
            missing.chmod(0o711 if missing == directory else 0o755)
        elif missing == directory:
            missing.chmod(0o700)


def _ensure_watched(cluster: Cluster) -> None:
    """Start the watcher, unless there is one: it stops the server should we be killed."""
    held = try_lock(cluster.lock("watch"), fcntl.LOCK_EX, create=True)
    if held is None:
        return
    # -I -S: it needs no site packages and no variables, and the modules beside it are not for it.
    program = [sys.executable, "-I", "-S", WATCHER]
    uid, gid = cluster.account or ("", "")
    try:
        detach(
            [*program, cluster.directory, cluster.bin, str(uid), str(gid), str(held)],
            None, keep=[held], environment=os.environ,
        )  # fmt: skip
    finally:
        os.close(held)  # the watcher holds it on
