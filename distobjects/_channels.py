"""How a leased connection is driven: by its own socket where that is plain, else through redis-py's methods.

redis-py's way from a command to its reply costs as much as the way to the server and back. What replaces it:

1. A socket is taken over when its connection is leased, with nothing unread on it, and given back as it was.
2. Meanwhile it blocks, and the system watches the time-out: Python's own would poll before each call.
3. A reply that is late, cut short, or followed by what nobody has asked for: the connection is not used again.
4. What the server pushes out of turn (RESP3) is given to redis-py, which knows what it is for; then rule 3.
5. TLS, Sentinel, a patched socket and whatever else is not known keep redis-py's way, with the same results.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import Any, Protocol

from ._redis import plain_socket
from ._resp import INCOMPLETE, Push, reader
from ._translation import reply_error

_CHUNK = 1 << 16
_NEVER = struct.pack("ll", 0, 0)


class Unsent(ConnectionError):
    """The connection is gone, and nothing has left over it."""


class Channel(Protocol):
    """Sends packed commands over one connection and returns raw replies, an error reply as one of our exceptions.

    Attributes:
        spent: the connection is to be closed, though every reply has come.
    """

    spent: bool

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send `count` commands in one piece and return as many replies."""
        ...

    def send(self, packed: bytes) -> None:
        """Send commands in one piece; their replies are to be received."""
        ...

    def receive(self, count: int) -> list[Any]:
        """Return the replies to as many commands as have been sent."""
        ...

    def lives(self) -> bool:
        """Say whether the connection can be used; what could be read now is the reply to nothing."""
        ...

    def leave(self) -> None:
        """Give the connection back as it was."""
        ...


class ClientChannel:
    """Drives a connection through redis-py's methods, but for its packing, decoding and retries."""

    spent = False

    def __init__(self, connection: Any, failures: tuple[type[Exception], ...], where: str) -> None:
        self._connection = connection
        self._failures = failures
        self._where = where

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        self.send(packed)
        return self.receive(count)

    def send(self, packed: bytes) -> None:
        self._connection.send_packed_command((packed,), check_health=False)

    def receive(self, count: int) -> list[Any]:
        return [self._reply() for _ in range(count)]

    def _reply(self) -> Any:
        try:
            return self._connection.read_response(disable_decoding=True)
        except self._failures as error:
            if (reply := reply_error(error, self._where)) is None:
                raise
            return reply

    def lives(self) -> bool:
        try:
            return not self._connection.can_read(timeout=0)
        except self._failures:
            return False

    def leave(self) -> None:
        pass


class SocketChannel:
    """Drives a connection by its socket."""

    def __init__(self, connection: Any, stream: socket.socket, where: str) -> None:
        self.spent = False
        self._where = where
        self._connection = connection
        self._socket = stream
        self._seconds = stream.gettimeout()
        self._send, self._recv = stream.send, stream.recv
        replies = reader(self._error)
        self._feed, self._gets, self._has_data = replies.feed, replies.gets, replies.has_data
        self._wait(_NEVER if self._seconds is None else _timeval(self._seconds))
        stream.settimeout(None)

    def _error(self, message: str) -> Exception:
        """Make one of our exceptions of an error reply, from redis-py's; raise where it says that this is the end."""
        error: Exception = self._connection._parser.parse_error(message)
        if (reply := reply_error(error, self._where)) is None:
            raise error
        return reply

    def _wait(self, timeval: bytes) -> None:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, timeval)

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        replies: list[Any] = []
        try:
            try:
                left = self._send(packed)
            except BlockingIOError:
                raise
            except OSError as error:  # had any byte left, it would have said how many
                raise Unsent(str(error)) from error
            if left < len(packed):
                self._socket.sendall(memoryview(packed)[left:])
            self._feed(self._recv(_CHUNK))
            while len(replies) < count:
                reply = self._gets()
                if reply is INCOMPLETE:
                    self._receive()
                elif type(reply) is Push:
                    self._pushed(reply)
                else:
                    replies.append(reply)
        except BlockingIOError as error:  # which is how the system says that the time is over
            raise TimeoutError("no reply in time") from error
        if self._has_data():
            self.spent = True
        return replies

    def send(self, packed: bytes) -> None:
        try:
            try:
                left = self._send(packed)
            except BlockingIOError:
                raise
            except OSError as error:
                raise Unsent(str(error)) from error
            if left < len(packed):
                self._socket.sendall(memoryview(packed)[left:])
        except BlockingIOError as error:
            raise TimeoutError("not sent in time") from error

    def receive(self, count: int) -> list[Any]:
        replies: list[Any] = []
        try:
            while len(replies) < count:
                self._receive()
                replies += iter(self._gets, INCOMPLETE)
                if Push in set(map(type, replies)):
                    for each in replies:
                        if type(each) is Push:
                            self._pushed(each)
                    replies = [each for each in replies if type(each) is not Push]
        except BlockingIOError as error:
            raise TimeoutError("no reply in time") from error
        if len(replies) > count or self._has_data():
            self.spent = True
        return replies[:count]

    def _receive(self) -> None:
        if not (data := self._recv(_CHUNK)):  # once more, where the first one was empty too
            raise ConnectionError("the server has closed the connection")
        self._feed(data)

    def _pushed(self, message: list[Any]) -> None:
        self.spent = True
        if (handle := getattr(self._connection._parser, "handle_push_response", None)) is not None:
            handle(message, disable_decoding=True, push_request=False)

    def lives(self) -> bool:
        if self._connection._sock is not self._socket:  # whoever owns the pool has closed its connections
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def leave(self) -> None:
        with suppress(OSError):  # closed meanwhile: redis-py opens a new one
            self._wait(_NEVER)
            self._socket.settimeout(self._seconds)


def _timeval(seconds: float) -> bytes:
    """Return a time-out as the system takes it, where nothing at all would mean for ever."""
    return struct.pack("ll", *divmod(max(1, round(seconds * 1e6)), 1_000_000))


def open_channel(connection: Any, failures: tuple[type[Exception], ...], where: str) -> Channel:
    """Return the fastest way to drive a connection that has just been leased."""
    stream = plain_socket(connection) if os.name == "posix" else None
    try:
        if stream is not None and stream.gettimeout() != 0 and not connection.can_read(timeout=0):
            return SocketChannel(connection, stream, where)
    except failures:
        pass  # it fails again, where that is dealt with
    return ClientChannel(connection, failures, where)
