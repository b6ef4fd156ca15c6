"""Local copies that are kept fresh, for threads: who reads looks at what has been heard. There is no thread in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from ._flow import Ask, Flow
from ._lines import Poll
from ._lookouts import run
from ._mirrored import Standing, answered, is_answerable, reply_to, watching_of
from ._near import LOOK_SECONDS
from ._space import Space
from ._wire import keys_of
from .errors import StoreBusy, StoreUnavailable

if TYPE_CHECKING:
    from ._lines import Line

T = TypeVar("T")


class Mirror(Standing):
    """Stands before a backend, and answers reads of some objects itself. What changes them goes on to the backend.

    Args:
        origin: the backend.
        open: opens a line.
        lease_seconds: how old a copy may be when the network falls silent.
    """

    def __init__(
        self, origin: Any, space: Space, ids: Collection[str], open: Callable[[], Line | Poll], lease_seconds: float
    ) -> None:
        self.origin = origin
        self._space = space
        self._keys = {space.key(id): id for id in ids}
        self._watching, self._seen = watching_of(space, ids)
        self._open = open
        self._lease_seconds = lease_seconds
        self._line: Line | Poll | None = None
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._alive = self._until = 0.0
        self._closed = False

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end, its reads from memory where they can be."""
        value: T = self.origin.run(answered(flow, self._answer, self._distrust))
        return value

    def _answer(self, ask: Ask) -> list[Any] | None:
        if not all(is_answerable(each) and each.args[1] in self._keys for each in ask.commands):
            return None
        if monotonic() >= self._until and not self.look():
            return None
        return [reply_to(each, self._seen.get(self._keys[str(each.args[1])])) for each in ask.commands]

    def look(self) -> bool:
        """Take in what has changed, with a round trip if something has; say whether what is here counts.

        Raises:
            StoreUnavailable: the server cannot be reached.
        """
        with self._looking():
            try:
                return self._look()
            except (StoreUnavailable, StoreBusy):
                return self._look()  # over another connection

    def _looking(self) -> threading.Lock:
        """Return the lock; another one in a child after a fork, where a thread of its parent's may have held it."""
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), threading.Lock()
        return self._lock

    def _look(self) -> bool:
        try:
            return self._looked()
        except BaseException:  # interrupted, too: what was asked has not been seen, and its reply may still come
            self._lose()
            raise

    def _looked(self) -> bool:
        if self._closed:
            raise StoreUnavailable(f"this mirror of {self._space.stem!r} is closed; open another one")
        if self._line is None:
            self._line = self._open()
            self._watching.everything()
        if isinstance(self._line, Poll):
            return False
        now = monotonic()
        if now >= self._alive + self._lease_seconds and self._watching.due(now) > 0:
            self._line.ping()  # all that was told before comes before the answer
            self._alive = now
        changed = self._line.hear(0)
        self._watching.changed(changed.keys, everything=changed.everything)
        while self._watching.due(now) == 0:
            run(self._watching.look(now), self._line.post)
            self._alive = now
        self._until = min(now + LOOK_SECONDS, self._alive + self._lease_seconds)
        return True

    def _distrust(self, ask: Ask) -> None:
        """Read again what has been written before it counts: the server's message may come after the reply."""
        with self._looking():
            self._watching.changed(keys_of(ask.commands))
            self._until = 0.0

    def _lose(self) -> None:
        self._until = 0.0
        if self._line is not None:
            line, self._line = self._line, None
            line.close()

    def close(self) -> None:
        """Close the line; nothing can be read any more."""
        with self._looking():
            self._closed = True
            self._lose()
