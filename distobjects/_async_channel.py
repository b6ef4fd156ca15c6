"""The connection that all tasks of an event loop share: redis-py opens it, then its bytes come here.

TLS, authentication, the database, names and Sentinel stay redis-py's, and so does the limit of the pool, of which this
is one connection. From then on the transport has another protocol: one write for all commands of a turn of the loop,
and replies that go to their waiters without a task in between. The rules are those of `_exchange`, and:

1. The first command after a while waits a turn: the loop hears of a connection that has died only when it looks.
2. One command that is alone leaves at once. Where several came in the last turn, all wait for the end of this one.
3. While the transport has too much to send, nothing leaves.
4. A command that is late ends the connection, as with redis-py. What left after it has not been late, and may be asked
   again; one timer, for the oldest, is enough.
5. A connection that redis-py would renew (a new password, a health check, a failover) ends when it is not in use.
6. When it has ended, it goes back to the pool closed, with redis-py's own protocol.
7. A forked child never uses its parent's connection.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from ._exchange import Exchange
from ._redis import failures, is_stale, lease_arguments, where
from ._resp import ProtocolError
from ._translation import connection_error

# After so long without a round trip, a connection may have died without the event loop having told it.
_IDLE_SECONDS = 0.001
_LOOK_SECONDS = 0.5


class Channel(asyncio.Protocol):
    """One connection of a client's pool, shared by the tasks of one event loop; opened when it is needed."""

    def __init__(self, client: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._where = where(client)
        self._failures = failures(client)
        self._pool = client.connection_pool
        self._lease = lease_arguments(self._pool)
        # With maintenance notifications, redis-py's pool does not look whether an idle connection has died.
        unchecked = getattr(self._pool, "maint_notifications_enabled", None)
        self._unchecked = unchecked is not None and bool(unchecked())
        self._loop = loop
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._exchange = Exchange()
        self._queue = self._exchange.queue
        self._connection: Any = None  # redis-py's; it may have ended
        self._transport: Any = None  # its transport, while it is ours
        self._stream: Any = None  # its protocol, while that is not in use
        self._opening: asyncio.Task[None] | None = None
        self._seconds: float | None = None  # how long a reply may take
        self._timer: asyncio.TimerHandle | None = None
        self._due = False  # somebody is going to flush
        self._several = self._retiring = False
        self._used = self._looked = 0.0

    def send(self, data: bytes) -> asyncio.Future[Any]:
        """Send one command; the future is its reply, or `Lost`."""
        waiter: asyncio.Future[Any] = asyncio.Future(loop=self._loop)  # a frame less than `create_future`
        self._queue.append((data, waiter))
        if not self._due:
            self._due = True
            if self._several or self._exchange.waiting:
                self._loop.call_soon(self._flush)
            else:
                self._flush()
        return waiter

    def send_several(self, data: bytes, count: int) -> asyncio.Future[list[Any]]:
        """Send several commands; the future is the list of their replies, or `Lost`."""
        waiter = self._loop.create_future()
        self._exchange.add(data, count, waiter)
        if not self._due:
            self._due = True
            self._loop.call_soon(self._flush)
        return waiter

    def _flush(self) -> None:
        """Write what is queued, if the connection is there and has room; else whoever makes it so comes back here."""
        if self._pid != os.getpid():
            self._renounce()
        if self._transport is None:
            self._open()
            return
        now = self._loop.time()
        if now - self._looked > _LOOK_SECONDS:
            self._looked = now
            self._retiring |= is_stale(self._pool, self._connection, now - self._used)
        if now - self._used > _IDLE_SECONDS:
            self._used = now
            self._loop.call_soon(self._loop.call_soon, self._flush)
            return
        if self._transport.is_closing():
            self._end(ConnectionResetError("the connection was closed"))
            return
        if self._retiring:
            if not self._exchange.waiting:
                self._end(ConnectionResetError("the connection was to be renewed"))
            return
        self._used, self._due = now, False
        pieces = self._exchange.leave(now)
        self._several = len(pieces) > 1
        if pieces:
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            if self._timer is None and self._seconds is not None:
                self._timer = self._loop.call_later(self._seconds, self._look)

    def _renounce(self) -> None:
        """Leave the parent's connection to the parent, and start anew with what is queued here."""
        queue = self._queue
        self._forget()
        self._queue += queue
        self._due = True

    # ---- opening and ending

    def _open(self) -> None:
        if self._opening is None:
            self._opening = self._loop.create_task(self._opened())

    async def _opened(self) -> None:
        try:
            await self._give_back()
            connection = self._connection = await self._pool.get_connection(*self._lease)
            if self._unchecked and await connection.can_read():
                await connection.disconnect(nowait=True)
                await connection.connect()
            self._take_over(connection)
        except Exception as error:  # noqa: BLE001  # not carried on from: who waits hears of it
            self._refuse(error)
        except BaseException:  # cancelled: the loop is about to end, or the backend is being closed
            self._refuse(ConnectionAbortedError("connecting was cancelled"))
            await self._give_back()
            raise
        finally:
            self._opening = None
        if self._transport is not None:
            self._flush()

    def _take_over(self, connection: Any) -> None:
        self._seconds = connection.socket_timeout
        self._transport = connection._writer.transport
        self._stream = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._retiring = False
        self._used = self._looked = self._loop.time()

    def _refuse(self, error: Exception) -> None:
        self._due = False
        known = isinstance(error, self._failures)
        self._exchange.refuse(lambda: connection_error(error, self._where, sent=False) if known else error)

    def _end(self, error: Exception, *, late: float = float("-inf")) -> None:
        """Let go of a connection: what has left is lost, what is queued waits for the next one."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.set_protocol(self._stream)  # redis-py closes it, and waits for that protocol to hear of it
        transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

        def lost(slow: bool) -> Exception:
            cause = TimeoutError(f"no reply within {self._seconds} s") if slow else error
            return connection_error(cause, self._where, sent=True)

        self._exchange.end(lost, late=late)
        self._due = bool(self._queue)
        if self._due:
            self._open()

    async def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.disconnect(nowait=True)
            finally:
                await self._pool.release(connection)

    def retire(self) -> None:
        """Use another connection as soon as nobody waits for a reply: this one leads to the wrong server."""
        self._retiring = True

    async def close(self) -> None:
        """Give the connection back, closed; who still waits has no reply."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        closed = ConnectionAbortedError("the backend was closed")
        self._refuse(closed)  # first, or the end would open another connection for them
        self._end(closed)
        await self._give_back()

    # ---- what the event loop calls

    def data_received(self, data: bytes) -> None:
        """Hand out what has arrived."""
        try:
            self._exchange.receive(data)
        except (ProtocolError, ValueError) as error:
            self._end(error)
            return
        self._used = self._loop.time()
        if self._retiring and self._due and not self._exchange.waiting:
            self._flush()

    def eof_received(self) -> None:
        """Take note that nothing will arrive any more."""
        self._end(ConnectionResetError("the server has closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection has ended."""
        self._stream.connection_lost(exc)
        self._end(exc or ConnectionResetError("the connection was closed"))

    def pause_writing(self) -> None:
        """Let nothing leave: there is too much that the transport has still to send, and `resume_writing` will come."""
        self._due = True

    def resume_writing(self) -> None:
        """Let leave what is queued."""
        self._flush()

    def _look(self) -> None:
        """End the connection if a reply is late, else look again when the oldest will be."""
        self._timer = None
        oldest = self._exchange.oldest()
        if oldest is None or self._seconds is None:
            return
        if oldest + self._seconds <= self._loop.time():
            self._end(ConnectionAbortedError("the reply to a command before this one was late"), late=oldest)
        else:
            self._timer = self._loop.call_at(oldest + self._seconds, self._look)
