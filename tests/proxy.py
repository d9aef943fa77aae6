"""A proxy between driver and server that understands the protocol enough to count, and to cut where a test says."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from urllib.parse import SplitResult

    Opening = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

__all__ = ["Proxy", "proxied"]

# Messages after which the driver waits for the server: Query, Sync, Flush.
_AWAITED = {b"Q", b"S", b"H"}


class Proxy:
    """Forwards connections to a server, on its Unix socket or over TCP.

    Attributes:
        port: where it listens, on 127.0.0.1.
        round_trips: how many times a driver has waited for the server, start-up left out.
        connections: how many were made through it.
        messages: how many have come from drivers, start-up left out.
        admits: new connections are taken to the server while it is set.
        flows: anything is passed on, either way, while it is set; while it is not, the network is a black hole.
        drop_reply_to: a function of a message's type and body; where it is true, the message goes to the server, and
            the connection is cut before the driver hears of it. It is asked once more only after it was reset.
    """

    def __init__(self, open_upstream: Opening) -> None:
        self._open_upstream = open_upstream
        self.port = 0
        self.round_trips = 0
        self.connections = 0
        self.messages = 0
        self._handling: set[asyncio.Task[None] | None] = set()
        self.admits, self.flows = asyncio.Event(), asyncio.Event()
        self.admits.set()
        self.flows.set()
        self.drop_reply_to: Callable[[bytes, bytes], bool] = lambda _kind, _body: False
        self.drop_before: Callable[[bytes, bytes], bool] = lambda _kind, _body: False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._handling.add(asyncio.current_task())
        try:
            await self.admits.wait()
            await self.flows.wait()
            await self._connect(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
            self._handling.discard(asyncio.current_task())

    async def stop(self) -> None:
        """End all connections, those that hang too."""
        tasks = [task for task in self._handling if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await self._open_upstream()
        down = asyncio.create_task(_copy(upstream_reader, writer, self.flows))
        try:
            await self._forward(reader, upstream_writer, down)
        finally:
            down.cancel()
            upstream_writer.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, down: asyncio.Task[None]
    ) -> None:
        upstream.write(await _start_up(reader))
        while True:
            head = await reader.readexactly(5)
            kind, body = head[:1], await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            self.messages += 1
            if self.drop_before(kind, body):
                return
            dropping = self.drop_reply_to(kind, body)
            if dropping:
                down.cancel()
            self.round_trips += kind in _AWAITED
            await self.flows.wait()
            upstream.write(head + body)
            await upstream.drain()
            if dropping:
                await self._let_the_server_finish(upstream)
                return

    async def _let_the_server_finish(self, upstream: asyncio.StreamWriter) -> None:
        """Close our writing side only: the server works off what it was sent, and then ends the session."""
        upstream.write(b"X\x00\x00\x00\x04")
        upstream.write_eof()
        await upstream.drain()


async def _start_up(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(struct.unpack("!I", head)[0] - 4)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
    while data := await reader.read(65536):
        await flows.wait()
        writer.write(data)
        await writer.drain()
    writer.close()  # a driver that ends its session waits until the server has closed the connection


def _opening(server: SplitResult) -> Opening:
    """Return how to reach the server of a DSN, whose Unix socket's directory stands among the options."""
    options = parse_qs(server.query)
    port = int(options["port"][0]) if "port" in options else server.port or 5432
    if "host" in options:
        return partial(asyncio.open_unix_connection, f"{options['host'][0]}/.s.PGSQL.{port}")
    return partial(asyncio.open_connection, server.hostname, port)


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Yield a proxy to the server of a DSN, and the DSN that goes through it."""
    parts = urlsplit(dsn)
    proxy = Proxy(_opening(parts))
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    try:
        yield proxy, urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}", query="sslmode=disable"))
    finally:
        server.close()
        await proxy.stop()
