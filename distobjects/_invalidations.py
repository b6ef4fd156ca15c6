"""Hearing what changes on the server, as it happens: a connection beside the client's pool that only listens.

`CLIENT TRACKING` lets the server tell which keys have changed, whoever changes them and however. It is told to this
connection, which is subscribed to `__redis__:invalidate` over RESP2: TCP, unix and TLS sockets, AUTH and Sentinel are
those of the client. A listener belongs to one thread at a time, and to the process that opened it.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any

from ._beside import Beside
from ._flow import Ask
from ._messages import PING, Heard, Messages, begin, leave, token
from ._translation import reply_error
from ._wire import packed

_CHUNK = 1 << 16
_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Listener(Beside):
    """A connection that hears of what the one beside it reads from now on, as soon as that changes.

    Four round trips after connecting: `CLIENT ID`, `SUBSCRIBE` with a `PING`, those of `Reader.redirect`.

    Attributes:
        id: of the connection on the server, where `CLIENT TRACKING ON REDIRECT id` sends messages to.

    Raises:
        StoreUnavailable: the server cannot be reached, or `beside` is connected to another one.
        AccessDenied: an ACL forbids it.
    """

    id: int

    def __init__(self, client: Any, beside: Reader) -> None:
        super().__init__(client)
        self._messages = Messages()
        try:
            with self._translated:
                self._begin(beside)
        except BaseException:
            self.close()
            raise

    def _begin(self, beside: Reader) -> None:
        connection = self._connection
        connection.connect()
        connection.send_command("CLIENT", "ID")
        self.id = connection.read_response()
        # From here on, no byte may end up in the parser of redis-py, which would wait for the rest of a message.
        self._socket: socket.socket = connection._sock
        proof = token()
        self._socket.sendall(begin(proof))
        pongs = 0
        while not pongs:
            pongs = self._heard(self._socket.recv(_CHUNK)).pongs
        beside.redirect(self.id, proof)
        self._socket.sendall(leave(proof))
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return the socket's file descriptor: readable while there is something to drain."""
        return self._socket.fileno()

    def ping(self) -> None:
        """Ask the server for a sign of life, without waiting; `drain` tells when it has come."""
        with self._translated, suppress(*_NOTHING_YET):  # where nothing leaves any more, the answer will be missed
            self._socket.send(PING)

    def drain(self) -> Heard:
        """Return what has arrived, without waiting.

        Raises:
            StoreUnavailable: the connection is lost; whatever changes from now on is not heard.
        """
        keys: list[bytes] = []
        everything, pongs = False, 0
        with self._translated, suppress(*_NOTHING_YET):
            while True:
                heard = self._heard(self._socket.recv(_CHUNK))
                keys += heard.keys
                everything |= heard.everything
                pongs += heard.pongs
        return Heard(keys, everything, pongs)

    def _heard(self, data: bytes) -> Heard:
        if not data:
            raise ConnectionResetError("the server has closed the connection")
        return self._messages.feed(data)

    def close(self) -> None:
        """Close the connection; with it, the server forgets what it was to tell."""
        self._connection.disconnect()


class Reader(Beside):
    """A connection that reads what is to be cached; the server tells the listener when that changes.

    It is beside the pool too: as soon as a connection ends, the server forgets what was read over it, and tells
    nobody. So one that others can close, or that the pool lets die, would leave stale entries behind.
    """

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._unanswered = 0
        try:
            with self._translated:
                self._connection.connect()
                self._socket: socket.socket = self._connection._sock
        except BaseException:
            self.close()
            raise

    def redirect(self, listener_id: int, proof: bytes) -> None:
        """Let the server tell a listener what changes of all that is read from now on.

        Two round trips: `PUBSUB NUMSUB`, `CLIENT TRACKING`. Behind a load balancer or after a failover the two may be
        connected to different servers, each of which has clients of most ids: the addresses are equal, the redirection
        is accepted, and nothing is ever heard.

        Args:
            proof: a channel that the listener alone has subscribed to; only its own server knows of that.

        Raises:
            ConnectionResetError: the listener is connected to another server; it translates what this raises.
        """
        self._connection.send_command("PUBSUB", "NUMSUB", proof)
        if self._connection.read_response()[1] != 1:
            raise ConnectionResetError("the listening connection goes to another server")
        self._connection.send_command("CLIENT", "TRACKING", "ON", "REDIRECT", listener_id)
        self._connection.read_response()

    def fileno(self) -> int:
        """Return the socket's file descriptor: readable when a PING is answered, or the connection is lost."""
        return self._socket.fileno()

    def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions."""
        with self._translated:
            self._connection.send_packed_command((packed(ask.commands),), check_health=False)
            self._answers()
            return [self._reply() for _ in ask.commands]

    def _reply(self) -> Any:
        try:
            return self._connection.read_response(disable_decoding=True)
        except self._failures as error:
            if (reply := reply_error(error, self._where)) is None:
                raise
            return reply

    def ping(self) -> None:
        """Ask the server for a sign of life, without waiting."""
        with self._translated:
            self._connection.send_packed_command((PING,), check_health=False)
        self._unanswered += 1

    def drain(self) -> int:
        """Return how many PINGs have been answered, without waiting for any.

        Raises:
            StoreUnavailable: the connection is lost.
        """
        with self._translated:
            return self._answers() if self._connection.can_read(timeout=0) else 0

    def _answers(self) -> int:
        read = 0
        while self._unanswered:
            self._connection.read_response()
            self._unanswered -= 1
            read += 1
        return read

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()
