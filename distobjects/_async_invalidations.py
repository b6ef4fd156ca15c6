"""Hearing what changes on the server, for asyncio; the twin of `_invalidations`. It belongs to one event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from ._beside import Beside
from ._flow import Ask
from ._messages import PING, Heard, Messages, begin, leave, token
from ._resp import ResponseError
from ._translation import failure, reply_error
from ._wire import packed


class AsyncListener(Beside, asyncio.Protocol):
    """The twin of `Listener`: the event loop puts what arrives where `drain` finds it."""

    id: int

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._messages = Messages()
        self._socket: Any = None
        self._keys: list[bytes] = []
        self._everything, self._pongs = False, 0
        self._error: Exception | None = None
        self._arrived = asyncio.Event()
        self._gone = asyncio.Event()

    async def begin(self, beside: AsyncReader) -> None:
        """Connect and subscribe."""
        try:
            with self._translated:
                await asyncio.wait_for(self._begin(beside), self._connection.socket_timeout)
        except BaseException:
            await self.close()
            raise

    async def _begin(self, beside: AsyncReader) -> None:
        connection = self._connection
        await connection.connect()
        await connection.send_command("CLIENT", "ID")
        self.id = await connection.read_response()
        self._transport: Any = connection._writer.transport
        self._socket = self._transport.get_extra_info("socket")
        self._transport.set_protocol(self)
        proof = token()
        self._transport.write(begin(proof))
        while not self._pongs:
            await self._arrived.wait()
            if self._error:
                raise self._error
            self._arrived.clear()
        self._pongs = 0
        await beside.redirect(self.id, proof)
        self._transport.write(leave(proof))

    def data_received(self, data: bytes) -> None:
        """Take in what has arrived."""
        try:
            heard = self._messages.feed(data)
        except ResponseError as error:
            self.connection_lost(error)
            return
        self._keys += heard.keys
        self._everything |= heard.everything
        self._pongs += heard.pongs
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that nothing will arrive any more."""
        self._error = self._error or exc or ConnectionResetError("the server has closed the connection")
        self._arrived.set()
        self._gone.set()

    def fileno(self) -> int:
        """Return the socket's file descriptor: readable while the event loop has not yet taken in what has arrived."""
        return int(self._socket.fileno())

    def ended(self) -> bool:
        """Say whether the event loop has seen the connection end."""
        return self._error is not None

    def ping(self) -> None:
        """Ask the server for a sign of life, without waiting; `drain` tells when it has come."""
        self._transport.write(PING)

    def drain(self) -> Heard:
        """Return what the event loop has taken in, without waiting.

        Raises:
            StoreUnavailable: the connection is lost; whatever changes from now on is not heard.
        """
        if self._error:
            raise failure(self._error, self._where) from self._error
        heard = Heard(self._keys, self._everything, self._pongs)
        self._keys, self._everything, self._pongs = [], False, 0
        return heard

    async def close(self) -> None:
        """Close the connection; with it, the server forgets what it was to tell."""
        if self._socket is not None:
            self._transport.abort()  # nothing that is still to be sent is worth waiting for
            await self._gone.wait()
        await self._connection.disconnect(nowait=True)


class AsyncReader(Beside):
    """The twin of `Reader` for asyncio; to be used by one task at a time."""

    async def begin(self) -> None:
        """Connect."""
        try:
            with self._translated:
                await self._connection.connect()
        except BaseException:
            await self.close()
            raise

    async def redirect(self, listener_id: int, proof: bytes) -> None:
        """Let the server tell a listener what changes of all that is read from now on; see `Reader.redirect`."""
        connection = self._connection
        await connection.send_command("PUBSUB", "NUMSUB", proof)
        if (await connection.read_response())[1] != 1:
            raise ConnectionResetError("the listening connection goes to another server")
        await connection.send_command("CLIENT", "TRACKING", "ON", "REDIRECT", listener_id)
        await connection.read_response()

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return int(self._connection._writer.get_extra_info("socket").fileno())

    def ended(self) -> bool:
        """Say whether the event loop has seen the connection end."""
        return self._connection._reader is None or bool(self._connection._reader.at_eof())

    async def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions."""
        with self._translated:
            await self._connection.send_packed_command((packed(ask.commands),), check_health=False)
            return [await self._reply() for _ in ask.commands]

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except self._failures as error:
            if (reply := reply_error(error, self._where)) is None:
                raise
            return reply

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect(nowait=True)
