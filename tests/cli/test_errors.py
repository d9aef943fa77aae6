"""Whatever goes wrong is one line on stderr that keeps secrets, and an exit status."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from anyio.from_thread import start_blocking_portal

from agentmem_store import embedded
from agentmem_store.connect import Connection
from agentmem_store.database import Database
from tests.cli import fill, invoke, run, start
from tests.servers import admin

PASSWORD = "pa55word"


def told(dsn: str, *args: str | Path) -> str:
    """Run a command that fails, and return its one line."""
    result = invoke(dsn, *args)
    return one_line(result.exit_code, result.stdout, result.stderr)


def one_line(code: int, out: str, err: str) -> str:
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert PASSWORD not in err
    return err


@pytest.mark.parametrize(
    ("dsn", "reason"),
    [
        (f"postgresql://u:{PASSWORD}@127.0.0.1:1/db", "127.0.0.1:1/db: cannot connect"),
        (f"postgresql://u:{PASSWORD}@no-such-host.invalid/db", "the host name cannot be resolved"),
        (f"mysql://u:{PASSWORD}@h/db", "the DSN must start with postgresql://"),
        (PASSWORD, "the DSN must start with postgresql://"),
        ("embedded:/proc/nowhere", "the embedded server cannot use /proc"),
        ("postgresql://[bad", "the DSN cannot be read"),
        (f"postgresql://u:{PASSWORD}@h:port/db", "the DSN cannot be read"),
        (f"postgresql://u:{PASSWORD}", "the DSN cannot be read"),
        *[(f"postgresql://u:{PASSWORD}{sign}x@h/db", "the DSN cannot be read") for sign in "/?#["],
    ],
)
def test_a_database_that_cannot_be_had(dsn: str, reason: str) -> None:
    assert reason in told(dsn, "migrate", "status")


@pytest.mark.parametrize(
    "command",
    [
        ["migrate", "up"],
        ["migrate", "down"],
        ["migrate", "verify"],
        ["search", "x", "--agent", "a"],
        ["import", "f", "--org", "o", "--agent", "a"],
        ["demo"],
    ],
    ids=" ".join,
)
def test_every_command_says_it_alike(command: list[str]) -> None:
    assert "is the server running there?" in told(f"postgresql://u:{PASSWORD}@127.0.0.1:1/db", *command)


def test_a_process_of_its_own_says_the_same() -> None:
    err = one_line(*run("migrate", "status", AGENTMEM_DSN=f"postgresql://u:{PASSWORD}@127.0.0.1:1/db"))
    assert err.startswith("error: 127.0.0.1:1/db: cannot connect")


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMEM_CONNECT_TIMEOUT_S", "0.2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://u:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/db"
        assert "no answer in time: check host, port and firewall" in told(dsn, "search", "x", "--agent", "a")


@pytest.fixture
def guarded() -> Iterator[str]:
    """The DSN of a server that asks the user u for a password."""
    home = Path(tempfile.mkdtemp(prefix="agentmem-test-"))
    home.chmod(0o755)
    rules = home / "hba.conf"
    rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    rules.chmod(0o644)
    server = embedded.running(str(home / "pg"), settings={"hba_file": str(rules), "fsync": "off"})
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server) as running:
        asyncio.run(admin(running.dsn, "CREATE ROLE u LOGIN PASSWORD 'right'"))
        yield running.dsn
    shutil.rmtree(home, ignore_errors=True)


def test_a_wrong_password_is_told_without_it(guarded: str) -> None:
    right = guarded.replace("postgres@", "u:right@")
    assert invoke(right, "migrate", "verify").exit_code == 0
    wrong = guarded.replace("postgres@", f"u:{PASSWORD}@")
    assert 'password authentication failed for user "u"' in told(wrong, "migrate", "status")
    missing = guarded.replace("postgres@", "u@")
    assert told(missing, "search", "x", "--agent", "a")


def test_files_that_cannot_be_read_are_named(dsn: str, tmp_path: Path) -> None:
    options = ("--org", "o", "--agent", "a")
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"role": "user", "content": "caf\xe9"}')
    for path, reason in (
        (tmp_path / "missing", "open: No such file or directory"),
        (tmp_path, "open: Is a directory"),
    ):
        assert told(dsn, "import", path, *options) == f"error: {path}: {reason}\n"
    assert f"{latin}:1: encoding: byte 33 of the line is not UTF-8" in told(dsn, "import", latin, *options)


def test_a_line_break_in_a_name_stays_on_the_line(dsn: str, tmp_path: Path) -> None:
    result = invoke(dsn, "import", tmp_path / "a\nb\x1b[31m", "--org", "o", "--agent", "a")
    assert result.stderr == f"error: {tmp_path}/a b [31m: open: No such file or directory\n"


WITHOUT = "import sys; sys.modules[{0!r}] = None; sys.argv = ['agentmem-store', 'demo']; "


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(missing: str) -> None:
    program = WITHOUT.format(missing) + "from agentmem_store.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the command line needs its extra; run: pip install 'agentmem-store[cli]'\n"


def test_a_defect_of_our_own_is_not_taken_for_a_missing_extra() -> None:
    program = WITHOUT.format("agentmem_store.chatlog") + "from agentmem_store.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'agentmem.messages'::regclass"


@pytest.fixture
def heeded_sigint() -> Iterator[None]:
    """Processes started here heed Ctrl-C, also where a script's background job, which a shell has ignore it, tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def until_it_waits(process: subprocess.Popen[str], connection: Connection) -> None:
    """Return when somebody waits for the table of messages; fail with the process's words when it has ended."""
    with anyio.fail_after(30):
        while not await connection.fetchval(WAITING):
            assert process.poll() is None, process.communicate()
            await anyio.sleep(0.01)


@pytest.mark.usefixtures("heeded_sigint")
async def test_ctrl_c_ends_an_import_with_130_and_leaves_nothing(db: Database, dsn: str, tmp_path: Path) -> None:
    file = fill(tmp_path / "chat.jsonl", *[str(number) for number in range(100)])
    async with db.connection() as connection:
        await connection.execute("BEGIN; LOCK TABLE agentmem.messages")
        with start("--dsn", dsn, "import", file, "--org", "o", "--agent", "a") as process:
            try:
                await until_it_waits(process, connection)
                process.send_signal(signal.SIGINT)
                out, err = await anyio.to_thread.run_sync(partial(process.communicate, timeout=30))
            finally:
                process.kill()  # what a failure leaves would wait for our lock
        assert (process.returncode, out, err) == (130, "", "")
        await connection.execute("ROLLBACK")
        assert await connection.fetchval("SELECT count(*) FROM agentmem.organizations") == 0


def test_a_reader_that_goes_away_is_no_traceback(dsn: str, tmp_path: Path) -> None:
    file = fill(tmp_path / "chat.jsonl", *[f"coffee {number}" for number in range(1000)])
    invoke(dsn, "import", file, "--org", "o", "--agent", "a")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "agentmem_store", "--dsn", dsn, "search", "coffee", "--agent", "a"]
    done = subprocess.run(
        [*command, "--limit", "1000"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_without_a_command_it_shows_its_help() -> None:
    code, out, err = run()
    assert code == 2
    for name in ("migrate", "import", "search", "demo", "--dsn"):
        assert name in out + err
    assert run("--help")[0] == 0
