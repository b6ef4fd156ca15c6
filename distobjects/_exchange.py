"""The order of commands and replies on one connection that many tasks share. No I/O, no clock and no event loop.

1. Replies come in the order in which commands have left: each goes to whoever has waited longest.
2. Who gives up before its commands have left takes them along. Later, its reply is dropped when it comes.
3. All that is queued leaves in one piece, when the connection has room for it.
4. What the server pushes out of turn is nobody's. A reply that nobody waits for is none: the connection is of no use.
5. The oldest command without a reply is late first, and whatever left with it.
6. A connection that ends takes with it what has left. What is queued waits for the next one.
7. Who waits for several replies has all of them, or hears of the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from ._resp import INCOMPLETE, ProtocolError, Push, Reader, reader


class Waiter(Protocol):
    """Who waits for a reply: a future."""

    def done(self) -> bool:
        """Say whether it does not wait any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Take the reply."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """Hear that there will be none."""
        ...


class Several:
    """Gathers the replies to several commands for one waiter; stands in line once for each."""

    __slots__ = ("_count", "_replies", "_waiter")

    def __init__(self, waiter: Waiter, count: int) -> None:
        self._waiter = waiter
        self._count = count
        self._replies: list[Any] = []

    def done(self) -> bool:
        """Say whether its waiter does not wait any more."""
        return self._waiter.done()

    def set_result(self, result: Any, /) -> None:
        """Take one reply; hand all of them on with the last one."""
        self._replies.append(result)
        if len(self._replies) == self._count:
            self._waiter.set_result(self._replies)

    def set_exception(self, exception: Exception, /) -> None:
        """Hear that there will be no more."""
        self._waiter.set_exception(exception)


class Exchange:
    """What is queued, what waits for a reply, and what has arrived.

    Attributes:
        queue: commands that have not left, each with its waiter; what follows a command without bytes left with it.
        waiting: the waiters whose commands have left, the oldest first.
    """

    def __init__(self) -> None:
        self.queue: list[tuple[bytes, Waiter]] = []
        self.waiting: deque[Waiter] = deque()
        self._left = 0  # how many commands have left over this connection
        self._departures: deque[tuple[float, int]] = deque()  # when the oldest unanswered left: up to which of them
        self._reader: Reader = reader()

    def add(self, data: bytes, count: int, waiter: Waiter) -> None:
        """Queue `count` commands, whose replies the waiter is to have as one list."""
        several = Several(waiter, count)
        self.queue.append((data, several))
        self.queue.extend([(b"", several)] * (count - 1))

    def leave(self, now: float) -> list[bytes]:
        """Return what is to be sent now, in order."""
        queue, waiting = self.queue, self.waiting
        pieces: list[bytes] = []
        answered = self._left - len(waiting)
        for data, waiter in queue:
            if not waiter.done():
                pieces.append(data)
                waiting.append(waiter)
        queue.clear()
        if pieces:
            departures = self._departures
            while departures and departures[0][1] <= answered:
                departures.popleft()
            self._left += len(pieces)
            departures.append((now, self._left))
        return pieces

    def receive(self, data: bytes) -> None:
        """Hand out the replies that this completes.

        Raises:
            ProtocolError: it is no reply, or nobody has asked.
        """
        self._reader.feed(data)
        gets, waiting = self._reader.gets, self.waiting
        while (reply := gets()) is not INCOMPLETE:
            if type(reply) is Push:
                continue
            if not waiting:
                raise ProtocolError("a reply has come that nobody waits for")
            waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_result(reply)

    def oldest(self) -> float | None:
        """Return when the oldest command left that has no reply yet."""
        departures, answered = self._departures, self._left - len(self.waiting)
        while departures and departures[0][1] <= answered:
            departures.popleft()
        return departures[0][0] if departures else None

    def end(self, lost: Callable[[bool], Exception], *, late: float = float("-inf")) -> None:
        """Tell all who wait for a reply that this connection has ended, and be ready for the next one.

        Args:
            lost: makes what each of them hears; it is told whether that one was late.
            late: what left until then is.
        """
        answered = self._left - len(self.waiting)
        up_to = max((left for departed, left in self._departures if departed <= late), default=0)
        waiting, self.waiting = self.waiting, deque()
        self._left, self._departures, self._reader = 0, deque(), reader()
        for place, waiter in enumerate(waiting, answered + 1):
            if not waiter.done():
                waiter.set_exception(lost(place <= up_to))

    def refuse(self, refused: Callable[[], Exception]) -> None:
        """Tell all whose commands have not left that they will not."""
        queue = self.queue.copy()
        self.queue.clear()
        for _, waiter in queue:
            if not waiter.done():
                waiter.set_exception(refused())
