"""Replies out of bytes, RESP2 and RESP3: by hiredis where there is 3.2 or later, else the same in Python. No I/O.

1. Texts are bytes, whatever their kind; an error reply is a `ResponseError` value, inside of other replies too.
2. A map is a dict and a set a list; what the server pushes out of turn is a `Push`.
3. Bytes may end anywhere: what is not whole yet waits for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

_hiredis: Any = import_module("hiredis") if find_spec("hiredis") else None
if not hasattr(_hiredis, "PushNotification"):  # before 3.2, it gives what is pushed as a reply
    _hiredis = None

INCOMPLETE: Any = object()


class ResponseError(Exception):
    """An error reply: the table of `_translation` knows it by this name."""


class ProtocolError(ConnectionError):
    """These bytes are no reply; whatever follows them is none either."""


class Reader(Protocol):
    """Takes bytes as they arrive, and gives replies."""

    def feed(self, data: bytes, /) -> None:
        """Take in what has arrived."""
        ...

    def gets(self) -> Any:
        """Return the next reply; `INCOMPLETE` until the rest of it has arrived.

        Raises:
            ProtocolError: this is no reply.
        """
        ...

    def has_data(self) -> bool:
        """Say whether something has arrived that no reply has been made of yet."""
        ...


def _error(message: str) -> ResponseError:
    return ResponseError(message.removeprefix("ERR "))


class _Push(list[Any]):
    """What `Push` is without hiredis."""


# What the server sends without having been asked.
Push: type[list[Any]] = _hiredis.PushNotification if _hiredis else _Push


def reader(error: Callable[[str], Exception] = _error) -> Reader:
    """Return a new reader; `error` makes an exception of an error reply's message."""
    if _hiredis:
        made: Reader = _hiredis.Reader(protocolError=ProtocolError, replyError=error, notEnoughData=INCOMPLETE)
        return made
    return PythonReader(error)


_BULK, _VERBATIM, _ERROR, _STATUS, _NUMBER, _DOUBLE, _BOOLEAN, _NULL = b"$=-+:,#_"
_ARRAY, _SET, _MAP, _PUSH = _AGGREGATES = b"*~%>"


class PythonReader:
    """A reader without hiredis; large replies may come in many pieces, each of which is looked at once."""

    def __init__(self, error: Callable[[str], Exception] = _error) -> None:
        self._error = error
        self._data = bytearray()
        self._at = 0
        self._open: list[tuple[int, int, list[Any]]] = []  # what is being filled: its kind, its size, its items

    def feed(self, data: bytes) -> None:
        """Take in what has arrived."""
        del self._data[: self._at]
        self._data += data
        self._at = 0

    def gets(self) -> Any:
        """Return the next reply; `INCOMPLETE` until the rest of it has arrived."""
        while (value := self._next()) is not INCOMPLETE:
            while self._open:
                kind, size, items = self._open[-1]
                if value is not self._open:
                    items.append(value)
                if len(items) < size:
                    break
                self._open.pop()
                value = _closed(kind, items)
            else:
                return value
        return INCOMPLETE

    def has_data(self) -> bool:
        """Say whether something has arrived that no reply has been made of yet."""
        return bool(self._open) or self._at < len(self._data)

    def _next(self) -> Any:
        """Return the next value that holds no others; `self._open` itself where one begins that does."""
        data, begin = self._data, self._at
        end = data.find(b"\r\n", begin)
        if end < 0:
            return INCOMPLETE
        kind, line, after = data[begin], bytes(data[begin + 1 : end]), end + 2
        if kind in _AGGREGATES and line != b"-1":
            self._open.append((kind, int(line) * (2 if kind == _MAP else 1), []))
            value: Any = self._open
        elif kind in (_BULK, _VERBATIM) and line != b"-1":
            begin, after = after, after + int(line) + 2
            if len(data) < after:
                return INCOMPLETE
            value = bytes(data[begin + (4 if kind == _VERBATIM else 0) : after - 2])
        else:
            value = self._scalar(kind, line)
        self._at = after
        return value

    def _scalar(self, kind: int, line: bytes) -> Any:
        if kind == _NUMBER:
            return int(line)
        if kind == _STATUS:
            return line
        if kind == _ERROR:
            return self._error(line.decode(errors="replace"))
        if kind == _DOUBLE:
            return float(line)
        if kind == _BOOLEAN:
            return line == b"t"
        if kind == _NULL or line == b"-1":
            return None
        raise ProtocolError(f"a reply cannot begin with {chr(kind)!r}")


def _closed(kind: int, items: list[Any]) -> Any:
    if kind == _MAP:
        return dict(zip(items[::2], items[1::2], strict=True))
    return Push(items) if kind == _PUSH else items
