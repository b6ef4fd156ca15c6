"""What a connection hears that is subscribed to invalidations (RESP2): bytes to messages. No I/O.

1. A message names the keys that have changed, or none at all: then everything has (`FLUSHALL`, `FLUSHDB`).
2. The answer to a PING comes between the messages: all that was sent before it has been heard then.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from ._resp import INCOMPLETE, ResponseError, reader

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


class Messages:
    """Takes bytes as they arrive."""

    def __init__(self) -> None:
        self._reader = reader()

    def feed(self, data: bytes) -> Heard:
        """Return what these bytes, with what was left of earlier ones, say.

        Raises:
            ResponseError: the server refuses something.
        """
        self._reader.feed(data)
        keys: list[bytes] = []
        everything, pongs = False, 0
        while (message := self._reader.gets()) is not INCOMPLETE:
            match message:
                case ResponseError():
                    raise message
                case [b"message", _, None]:
                    everything = True
                case [b"message", _, list()]:
                    keys += cast(list[Any], message)[2]
                case [b"pong", *_]:
                    pongs += 1
                case _:  # the beginning, or something else that somebody has published on this channel
                    pass
        return Heard(keys, everything, pongs)
