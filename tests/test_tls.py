"""sslmode=verify-full means what it says: the right authority and the right name, or no connection."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentmem_store import connect, errors
from tests.clusters import Cluster, clusters, why_no_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.skipif(why_no_cluster() is not None, reason=str(why_no_cluster())),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here to make certificates"),
]


def openssl(place: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=place, check=True, capture_output=True)


def authority(place: Path, name: str) -> None:
    """Make an authority's key and certificate."""
    files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
    openssl(place, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, "-subj", f"/CN={name}", "-days", "2")


def certificate(place: Path, *, of: str) -> None:
    """Make a server's key and certificate, for the name localhost and no other."""
    openssl(
        place, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
    )  # fmt: skip
    openssl(
        place, "x509", "-req", "-in", "server.csr", "-CA", f"{of}.crt", "-CAkey", f"{of}.key", "-CAcreateserial",
        "-out", "server.crt", "-days", "2", "-copy_extensions", "copy",
    )  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path]]:
    """A server with TLS, and where the certificates of two authorities are, of which `right` signed its own."""
    place = tmp_path_factory.mktemp("tls")
    authority(place, "right")
    authority(place, "wrong")
    certificate(place, of="right")
    with clusters("secure") as [server]:
        server.make()
        for file in ("server.key", "server.crt"):
            shutil.copy(place / file, server.data / file)
            owner = server.data.stat()
            (server.data / file).chmod(0o600)
            shutil.chown(server.data / file, owner.st_uid, owner.st_gid)
        server.start("ssl=on")
        yield server, place


def dsn_of(places: tuple[Cluster, Path], host: str, ca: str) -> str:
    server, place = places
    return (
        f"postgresql://postgres:s3cr3t@{host}:{server.port}/postgres?sslmode=verify-full&sslrootcert={place}/{ca}.crt"
    )


async def test_the_right_authority_and_name_connect_encrypted(places: tuple[Cluster, Path]) -> None:
    connection = await connect.connect(dsn_of(places, "localhost", "right"))
    assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True
    await connection.close()


async def test_another_name_is_refused(places: tuple[Cluster, Path]) -> None:
    with pytest.raises(errors.ConnectError, match=r"certificate is not accepted: .*127\.0\.0\.1") as caught:
        await connect.connect(dsn_of(places, "127.0.0.1", "right"))
    assert "s3cr3t" not in str(caught.value)


async def test_another_authority_is_refused(places: tuple[Cluster, Path]) -> None:
    with pytest.raises(errors.ConnectError, match="certificate is not accepted: unable to get local issuer"):
        await connect.connect(dsn_of(places, "localhost", "wrong"))


async def test_a_certificate_file_that_is_not_there_is_named(places: tuple[Cluster, Path]) -> None:
    with pytest.raises(errors.ConfigurationError, match="the file that sslrootcert names"):
        await connect.connect(dsn_of(places, "localhost", "missing"))


async def test_a_server_without_tls_is_refused_where_tls_is_asked_for(places: tuple[Cluster, Path]) -> None:
    server, _ = places
    server.stop()
    server.start("ssl=off")
    with pytest.raises(errors.ConnectError, match="offers no TLS"):
        await connect.connect(dsn_of(places, "localhost", "right"))
