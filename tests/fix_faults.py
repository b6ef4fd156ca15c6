"""A proxy between clients and a server that loses what a test tells it to lose, command by command or at random.

It runs in a thread of its own. A client that waits for each reply before it asks again sends every command in one
piece, and nothing else from the server is on its way then: so the next bytes from there are the reply.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

from tests.fix_servers import Server


class Fault(Enum):
    """What happens to a command. All but those that hold, slice or delay a reply end in a reset."""

    LOSE_REQUEST = "the server never sees it"
    LOSE_REPLY = "the server does it, the client is told nothing"
    CUT_REPLY = "the server does it, the client gets one byte of the reply"
    HALF_REPLY = "the server does it, the client gets half of what arrives of the reply"
    SLICE_REPLY = "the server does it, the client gets the reply byte by byte"
    HOLD_REPLY = "the server does it, the reply waits for `release`"
    STALL_REPLY = "the server does it, the client gets one byte, the rest waits for `release`"
    LATE_REPLY = "the server does it, the client is told a little later"
    LATE_REQUEST = "the client is cut off, the server does it a little later"
    CUT_AFTERWARDS = "the client gets the reply, and its idle connection is cut"


@dataclass(frozen=True)
class Storm:
    """Faults at random.

    Attributes:
        commands: what they happen to.
        rate: how many of those commands have one.
        late_seconds: how late, at most, the late ones are.
    """

    faults: Sequence[Fault]
    commands: Sequence[str]
    rate: float
    late_seconds: float = 0.01
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def struck(self, request: bytes) -> Fault | None:
        names = request[:64].upper()
        if not any(f"\r\n{command}\r\n".encode() in names for command in self.commands):
            return None
        return self.chance.choice(self.faults) if self.chance.random() < self.rate else None

    def delay(self) -> float:
        return self.chance.uniform(0, self.late_seconds)


@dataclass
class Proxy:
    """What a test sees of it.

    Attributes:
        port: where clients connect, on 127.0.0.1.
        fired: the faults that have happened, in order.
        connections: how many times a client has connected.
        storm: what happens to commands for which nothing is armed.
    """

    port: int = 0
    fired: list[Fault] = field(default_factory=list)
    connections: int = 0
    storm: Storm = field(default_factory=lambda: Storm((), (), 0.0))
    _armed: list[tuple[bytes, Fault]] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _late: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def arm(self, fault: Fault, command: str, *, times: int = 1) -> None:
        """Let this happen to the next `times` occurrences of the command, in whatever connection."""
        self._armed += [(f"\r\n{command}\r\n".encode(), fault)] * times

    def release(self) -> None:
        """Deliver the replies that are held."""
        self._loop.call_soon_threadsafe(self._released.set)

    def _struck(self, request: bytes) -> Fault | None:
        for each in self._armed:
            if each[0] in request.upper():
                self._armed.remove(each)
                self.fired.append(each[1])
                return each[1]
        fault = self.storm.struck(request)
        self.fired += [fault] if fault else []
        return fault


@contextmanager
def faulty(server: Server, port: int = 0) -> Iterator[Proxy]:
    """Run a proxy before this server for the length of the block, on this port or any."""
    proxy, started, stop = Proxy(port), threading.Event(), asyncio.Event()
    thread = threading.Thread(target=lambda: proxy._loop.run_until_complete(_serve(proxy, server, started, stop)))
    thread.start()
    started.wait(5)
    try:
        yield proxy
    finally:
        proxy._loop.call_soon_threadsafe(stop.set)
        thread.join()
        proxy._loop.close()


async def _serve(proxy: Proxy, server: Server, started: threading.Event, stop: asyncio.Event) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy.connections += 1
        tasks.add(asyncio.ensure_future(_relay(proxy, server, reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", proxy.port)
    proxy.port = listener.sockets[0].getsockname()[1]
    started.set()
    await stop.wait()
    listener.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*proxy._late)


async def _deliver(server: Server, request: bytes, delay: float) -> None:
    """Send a request whose sender is gone."""
    far, upstream = await asyncio.open_connection("127.0.0.1", server.port)
    await asyncio.sleep(delay)
    upstream.write(request)
    upstream.write_eof()
    await far.read()
    await _closed(upstream)


async def _closed(*writers: asyncio.StreamWriter) -> None:
    for each in writers:
        each.close()
    for each in writers:
        with suppress(OSError):
            await each.wait_closed()


async def _relay(proxy: Proxy, server: Server, near: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    """Pass everything on in both directions, until a fault or an end."""
    try:
        far, upstream = await asyncio.open_connection("127.0.0.1", server.port)
    except BaseException:
        await _closed(client)
        raise
    pending: list[Fault] = []

    async def forth() -> None:
        while request := await near.read(1 << 20):
            fault = proxy._struck(request)
            if fault is Fault.LOSE_REQUEST:
                return
            if fault is Fault.LATE_REQUEST:
                proxy._late.add(asyncio.ensure_future(_deliver(server, request, proxy.storm.delay())))
                return
            if fault:
                pending.append(fault)
            upstream.write(request)

    async def back() -> None:
        while reply := await far.read(1 << 20):
            fault = pending.pop(0) if pending else None
            if fault is Fault.CUT_REPLY:
                client.write(reply[:1])
            if fault is Fault.HALF_REPLY:
                client.write(reply[: len(reply) // 2])
            if fault in (Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.HALF_REPLY):
                return
            if fault is Fault.SLICE_REPLY:
                for at in range(len(reply) - 1):
                    client.write(reply[at : at + 1])
                    await asyncio.sleep(0)
                reply = reply[-1:]
            if fault is Fault.STALL_REPLY:
                client.write(reply[:1])
                reply = reply[1:]
            if fault in (Fault.HOLD_REPLY, Fault.STALL_REPLY):
                await proxy._released.wait()
            if fault is Fault.LATE_REPLY:
                await asyncio.sleep(proxy.storm.delay())
            client.write(reply)
            if fault is Fault.CUT_AFTERWARDS:
                await client.drain()
                return

    both = [asyncio.ensure_future(forth()), asyncio.ensure_future(back())]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in both:
            each.cancel()
        with suppress(OSError):  # the client may have closed it by now
            # without lingering, a close is a reset
            client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # before anything is awaited: cancelled then, it would leave the server a connection that never ends
        client.close()
        upstream.close()
        await asyncio.gather(*both, return_exceptions=True)
        await _closed(client, upstream)
