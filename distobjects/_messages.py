"""What a connection hears that is subscribed to invalidations (RESP2): bytes to messages. No I/O.

1. A message names the keys that have changed, or none at all: then everything has (`FLUSHALL`, `FLUSHDB`).
2. The answer to a PING comes between the messages: all that was sent before it has been heard then.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple, cast

from ._resp import INCOMPLETE, ResponseError, reader

CHANNEL = b"__redis__:invalidate"
PING = b"*1\r\n$4\r\nPING\r\n"


def begin(channel: bytes) -> bytes:
    """Return what subscribes; the pong at its end says that the messages come, and that this user may send PINGs."""
    return _on_channels(b"SUBSCRIBE", CHANNEL, channel) + PING


def leave(channel: bytes) -> bytes:
    """Return what ends a subscription."""
    return _on_channels(b"UNSUBSCRIBE", channel)


def _on_channels(name: bytes, *channels: bytes) -> bytes:
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in (name, *channels))
    return b"*%d\r\n%b" % (1 + len(channels), parts)


def token() -> bytes:
    """Return the name of a channel that nobody else has: who listens there is told by one server alone."""
    return CHANNEL + b":" + uuid.uuid4().hex.encode()


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
