"""A connection beside the client's pool that reads, and over which the server tells of changes, for asyncio.

The twin of `_lines`. It belongs to one event loop, and one task at a time may ask or wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from ._beside import Beside
from ._flow import Ask, reading
from ._pushes import Changed, Pushes, opening
from ._redis import has_own_pool
from ._resp import ResponseError
from ._translation import reply_error
from ._watching import SILENT_SECONDS
from ._wire import packed

_REPLY_SECONDS = 5.0
_PING = Ask([reading("PING")])


class AsyncLine(Beside, asyncio.Protocol):
    """The twin of `Line`: the event loop takes in what arrives."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.loop = asyncio.get_running_loop()
        self._pushes = Pushes()
        self._reply_seconds: float = self._connection.socket_timeout or _REPLY_SECONDS
        self._transport: Any = None
        self._error: Exception | None = None
        self._arrived = asyncio.Event()
        self._gone = asyncio.Event()

    async def begin(self, prefix: bytes | None) -> None:
        """Connect, and let the server tell of changes."""
        try:
            with self._translated:
                await self._connection.connect()
                self._transport = self._connection._writer.transport
                self._transport.set_protocol(self)
                for reply in await self._replies(opening(prefix), self._reply_seconds):
                    if isinstance(reply, ResponseError):
                        raise reply
        except BaseException:
            await self.close()
            raise

    def data_received(self, data: bytes) -> None:
        """Take in what has arrived."""
        try:
            self._pushes.feed(data)
        except ConnectionError as error:
            self._transport.abort()
            self._error = error
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that nothing will arrive any more."""
        self._error = self._error or exc or ConnectionResetError("the connection has been closed")
        self._arrived.set()
        self._gone.set()

    async def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions.

        Raises:
            StoreUnavailable: the connection is lost; whatever changes from now on is not heard.
        """
        replies = await self._posted(ask, self._reply_seconds)
        return [reply_error(each, self._where) if isinstance(each, ResponseError) else each for each in replies]

    async def ping(self) -> None:
        """Wait for a sign of life.

        Raises:
            StoreUnavailable: there is none.
        """
        await self._posted(_PING, SILENT_SECONDS)

    async def _posted(self, ask: Ask, seconds: float) -> list[Any]:
        with self._translated:
            return await self._replies(ask, seconds)

    async def _replies(self, ask: Ask, seconds: float) -> list[Any]:
        self._check()
        self._transport.write(packed(ask.commands))
        async with asyncio.timeout(seconds):
            while len(self._pushes.replies) < len(ask.commands):
                self._arrived.clear()
                await self._arrived.wait()
                self._check()
        replies, self._pushes.replies = self._pushes.replies, []
        return replies

    async def hear(self, seconds: float) -> Changed:
        """Return what has changed; wait until something has, for so long.

        Raises:
            StoreUnavailable: the connection is lost; whatever changes from now on is not heard.
        """
        with self._translated:
            self._check()
            if not self._pushes and seconds > 0:
                self._arrived.clear()
                try:
                    async with asyncio.timeout(seconds):
                        await self._arrived.wait()
                except TimeoutError:
                    pass
                self._check()
        return self._pushes.taken()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Close the connection, also under a task that waits; the server forgets what it was to tell."""
        if self._transport is not None:
            self._transport.abort()
            await self._gone.wait()
        await self._connection.disconnect(nowait=True)


class AsyncPoll:
    """The twin of `Poll` for asyncio."""

    def __init__(self, post: Callable[[Ask], Awaitable[list[Any]]], poll_seconds: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._post = post
        self._poll_seconds = poll_seconds
        self._next = monotonic() + poll_seconds

    async def post(self, ask: Ask) -> list[Any]:
        """Send the commands as any others."""
        return await self._post(ask)

    async def hear(self, seconds: float) -> Changed:
        """Wait for the next time, for so long; without waiting, the last one is still being read."""
        if seconds > 0:
            await asyncio.sleep(min(seconds, max(0.0, self._next - monotonic())))
        if seconds == 0 or monotonic() < self._next:
            return Changed([])
        self._next = monotonic() + self._poll_seconds
        return Changed([], everything=True)

    async def ping(self) -> None:
        """Do nothing: there is no connection to be kept."""

    async def close(self) -> None:
        """Do nothing either."""


async def open_async_line(
    client: Any, prefix: bytes | None, post: Callable[[Ask], Awaitable[list[Any]]], poll_seconds: float
) -> AsyncLine | AsyncPoll:
    """The twin of `open_line` for asyncio."""
    if not has_own_pool(client):
        return AsyncPoll(post, poll_seconds)
    line = AsyncLine(client)
    await line.begin(prefix)
    return line
