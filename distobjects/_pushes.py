"""What comes over a connection that asks and hears at once (RESP3): bytes to replies and to changed keys. No I/O.

1. Replies come in the order of what was asked; what the server pushes comes between them, at any time.
2. A key that has been pushed before it is asked for is as new in the reply. One that is pushed later may not be.
3. What has been heard and not yet been taken is a set. With more than `MOST` keys in it, it is simply everything: who
   is too slow to take them needs no more memory for that.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from ._flow import Ask, Command
from ._messages import CHANNEL
from ._resp import INCOMPLETE, Push, reader

MOST = 100_000


def opening(prefix: bytes | None) -> Ask:
    """Return what a connection begins with, to hear of what it reads, or of all keys that begin with `prefix`."""
    hello = Command(("HELLO", 3))
    if prefix is None:
        return Ask([hello, Command(("CLIENT", "TRACKING", "ON"))])
    what = ("BCAST", "PREFIX", prefix) if prefix else ("BCAST",)
    # Nothing is published there, but who subscribes to anything is held to the server's buffer limit for subscribers:
    # it cuts off who does not read, instead of filling its own memory. Of what has been read, it tells only once.
    return Ask([hello, Command(("CLIENT", "TRACKING", "ON", *what)), Command(("SUBSCRIBE", CHANNEL))])


class Changed(NamedTuple):
    """What has been heard of since the last time.

    Attributes:
        keys: have changed, expired, or been deleted.
        everything: so has all else.
    """

    keys: list[bytes]
    everything: bool = False


class Pushes:
    """Takes bytes as they arrive.

    Attributes:
        replies: to what has been asked, in order; error replies as `ResponseError` values.
    """

    def __init__(self) -> None:
        self._reader = reader()
        self.replies: list[Any] = []
        self._keys: dict[bytes, None] = {}
        self._everything = False

    def feed(self, data: bytes) -> None:
        """Take in what has arrived.

        Raises:
            ProtocolError: what has arrived means nothing.
        """
        self._reader.feed(data)
        while (message := self._reader.gets()) is not INCOMPLETE:
            if isinstance(message, Push) and message[0] == b"invalidate":
                self._invalidate(cast(list[bytes] | None, message[1]))
            elif not isinstance(message, Push) or message[0] == b"subscribe":  # the answer to it comes as a push
                self.replies.append(message)

    def _invalidate(self, keys: list[bytes] | None) -> None:
        if keys is None:
            self._everything = True
        elif not self._everything:
            self._keys.update(dict.fromkeys(keys))
            self._everything = len(self._keys) > MOST
        if self._everything:
            self._keys.clear()

    def __bool__(self) -> bool:
        return self._everything or bool(self._keys)

    def taken(self) -> Changed:
        """Return what has been heard since the last time."""
        changed = Changed(list(self._keys), self._everything)
        self._keys, self._everything = {}, False
        return changed
