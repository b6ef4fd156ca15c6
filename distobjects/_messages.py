"""What a connection hears that is subscribed to invalidations (RESP2): bytes to messages. No I/O.

1. A message names the keys that have changed, or none at all: then everything has (`FLUSHALL`, `FLUSHDB`).
2. The answer to a PING comes between the messages: all that was sent before it has been heard then.
3. Bytes may end anywhere; what is not whole yet waits for the rest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

CHANNEL = b"__redis__:invalidate"
_SUBSCRIBE = b"*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%b\r\n" % (len(CHANNEL), CHANNEL)
PING = b"*1\r\n$4\r\nPING\r\n"
# Its pong says that the messages come from now on, and that this user may send PINGs.
BEGIN = _SUBSCRIBE + PING


class Heard(NamedTuple):
    """What has been heard since the last time.

    Attributes:
        keys: have changed, expired, or been deleted; in order.
        everything: so has all else.
        pongs: how many PINGs have been answered.
    """

    keys: list[bytes]
    everything: bool = False
    pongs: int = 0


class ResponseError(Exception):
    """An error reply: the table of `_translation` knows it by this name."""


class _Incomplete(Exception):
    """The rest has not arrived yet."""


class Messages:
    """Takes bytes as they arrive."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Heard:
        """Return what these bytes, with what was left of earlier ones, say.

        Raises:
            ResponseError: the server refuses something.
        """
        data, at = self._rest + data, 0
        keys: list[bytes] = []
        everything, pongs = False, 0
        while at < len(data):
            try:
                message, at = _parse(data, at)
            except _Incomplete:
                break
            match message:
                case [b"message", _, None]:
                    everything = True
                case [b"message", _, list(changed)]:
                    keys += changed
                case [b"pong", *_]:
                    pongs += 1
                case _:  # the beginning, or something else that somebody has published on this channel
                    pass
        self._rest = data[at:]
        return Heard(keys, everything, pongs)


def _parse(data: bytes, at: int) -> tuple[Any, int]:
    """Return the value that begins at a place, and where the next one begins."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise _Incomplete
    kind, line, at = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b"$":
        size = int(line)
        if size < 0:
            return None, at
        if len(data) < at + size + 2:
            raise _Incomplete
        return data[at : at + size], at + size + 2
    if kind == b"*":
        if int(line) < 0:
            return None, at
        items: list[Any] = []
        for _ in range(int(line)):
            item, at = _parse(data, at)
            items.append(item)
        return items, at
    if kind == b"-":
        raise ResponseError(line.decode(errors="replace"))
    return line, at
