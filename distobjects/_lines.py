"""A connection beside the client's pool that reads, and over which the server tells of changes, for threads.

`CLIENT TRACKING` over RESP3: of what has been read here, or of all keys that begin with a prefix, whoever changes them
and however. TCP, unix and TLS sockets, AUTH and Sentinel are those of the client. Any thread may close it.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
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

_CHUNK = 1 << 16
_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# For a client without a time-out of its own.
_REPLY_SECONDS = 5.0
_PING = Ask([reading("PING")])


class Line(Beside):
    """A connection that asks and hears.

    Args:
        prefix: hear of all keys that begin so; without one, of what is read over this connection.

    Raises:
        StoreUnavailable: the server cannot be reached.
        AccessDenied: an ACL forbids it.
    """

    def __init__(self, client: Any, prefix: bytes | None) -> None:
        super().__init__(client)
        self._using = threading.Lock()
        self._pid = os.getpid()
        self._pushes = Pushes()
        self._closed = False
        self._reply_seconds: float = self._connection.socket_timeout or _REPLY_SECONDS
        try:
            with self._translated:
                self._begin(prefix)
        except BaseException:
            self.close()
            raise

    def _begin(self, prefix: bytes | None) -> None:
        self._connection.connect()
        # From here on, no byte may end up in the parser of redis-py.
        self._socket: socket.socket = self._connection._sock
        for reply in self._replies(opening(prefix), self._reply_seconds):
            if isinstance(reply, ResponseError):
                raise reply

    def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions.

        Raises:
            StoreUnavailable: the connection is lost; whatever changes from now on is not heard.
        """
        replies = self._posted(ask, self._reply_seconds)
        return [reply_error(each, self._where) if isinstance(each, ResponseError) else each for each in replies]

    def ping(self) -> None:
        """Wait for a sign of life.

        Raises:
            StoreUnavailable: there is none.
        """
        self._posted(_PING, SILENT_SECONDS)

    def _posted(self, ask: Ask, seconds: float) -> list[Any]:
        with self._translated:
            self._check()
            with self._using:
                return self._replies(ask, seconds)

    def _replies(self, ask: Ask, seconds: float) -> list[Any]:
        self._check()
        end, wanted = monotonic() + seconds, len(ask.commands)
        self._socket.settimeout(seconds)
        self._socket.sendall(packed(ask.commands))
        while len(self._pushes.replies) < wanted:
            self._socket.settimeout(max(end - monotonic(), 0.001))
            self._take(self._socket.recv(_CHUNK))
        replies, self._pushes.replies = self._pushes.replies, []
        return replies

    def hear(self, seconds: float) -> Changed:
        """Return what has changed; wait until something has, for so long.

        Raises:
            StoreUnavailable: the connection is lost; whatever changes from now on is not heard.
        """
        with self._translated:
            self._check()
            with self._using:
                self._check()
                self._socket.setblocking(False)
                self._drain()
                if not self._pushes and seconds > 0:
                    poll = select.poll()
                    poll.register(self._socket, select.POLLIN)
                    poll.poll(seconds * 1000)
                    self._drain()
                return self._pushes.taken()

    def _drain(self) -> None:
        with suppress(*_NOTHING_YET):
            while True:
                self._take(self._socket.recv(_CHUNK))

    def _take(self, data: bytes) -> None:
        if not data:
            raise ConnectionResetError("the connection has been closed")
        self._pushes.feed(data)

    def _check(self) -> None:
        # After a fork, the connection stays the parent's; a thread of the parent's may have held the lock.
        if self._closed or self._pid != os.getpid():
            raise ConnectionResetError("the connection has been closed")

    def close(self) -> None:
        """Close the connection, also under a thread that waits; the server forgets what it was to tell."""
        self._closed = True
        if self._pid != os.getpid():
            self._connection.disconnect()
            return
        with suppress(AttributeError, OSError):  # it was never opened, or is closed already
            self._socket.shutdown(socket.SHUT_RDWR)
        with self._using:
            self._connection.disconnect()


class Poll:
    """Stands for a line to a store that tells nobody what changes: now and then, everything may have."""

    def __init__(self, post: Callable[[Ask], list[Any]], poll_seconds: float) -> None:
        self._post = post
        self._poll_seconds = poll_seconds
        self._next = monotonic() + poll_seconds

    def post(self, ask: Ask) -> list[Any]:
        """Send the commands as any others."""
        return self._post(ask)

    def hear(self, seconds: float) -> Changed:
        """Wait for the next time, for so long; without waiting, the last one is still being read."""
        if seconds > 0:
            time.sleep(min(seconds, max(0.0, self._next - monotonic())))
        if seconds == 0 or monotonic() < self._next:
            return Changed([])
        self._next = monotonic() + self._poll_seconds
        return Changed([], everything=True)

    def ping(self) -> None:
        """Do nothing: there is no connection to be kept."""

    def close(self) -> None:
        """Do nothing either."""


def open_line(client: Any, prefix: bytes | None, post: Callable[[Ask], list[Any]], poll_seconds: float) -> Line | Poll:
    """Open a line to the server of a client; where that has no pool of connections, poll with `post` instead."""
    return Line(client, prefix) if has_own_pool(client) else Poll(post, poll_seconds)
