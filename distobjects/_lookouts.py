"""Watching, for threads: waits for changes, reads what has changed, connects again. There is no thread in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from ._flow import Ask, Done, Flow, advance
from ._watching import GATHER_SECONDS, IDLE_SECONDS, RETRY_SECONDS, Difference, Watching
from .errors import StoreBusy, StoreUnavailable

if TYPE_CHECKING:
    from ._lines import Line, Poll

T = TypeVar("T")


class Lookout:
    """Hears over a line of its own.

    Args:
        open: opens a line.
        post: sends asks as any others.
        closed: says whether the backend is.
    """

    def __init__(
        self,
        watching: Watching,
        open: Callable[[], Line | Poll],
        post: Callable[[Ask], list[Any]],
        closed: Callable[[], bool],
    ) -> None:
        self._watching = watching
        # Whole spaces are read past the line: to who is subscribed, the server sends no more than its limit at once.
        self._post = post if watching.sight.prefix is not None else None
        self._open = open
        self._closed = closed
        self._line: Line | Poll | None = None
        self._begun = False
        self._looked = 0.0

    def differences(self, begun: Callable[[], None] | None = None) -> Generator[Difference, None, None]:
        """Yield what changes, until the backend is closed.

        Args:
            begun: is called once, when what was there at the beginning has been read.

        Raises:
            StoreUnavailable: the server could not be reached at the beginning; later, it is tried again.
            AccessDenied: an ACL forbids it.
        """
        try:
            while not self._closed():
                yield from self._look()
                if begun and self._watching.due(time.monotonic()) > 0:
                    begun()
                    begun = None
        finally:
            self._lose()

    def _look(self) -> list[Difference]:
        """Wait until something is due, for a while at most, and return what has changed."""
        try:
            if self._line is None:
                self._line = self._open()
                self._begun = True
                self._watching.everything()
            found = self._read(self._line)
        except (StoreUnavailable, StoreBusy):
            if self._closed():
                return []
            if not self._begun:
                raise
            if self._line is None:
                time.sleep(RETRY_SECONDS)
            self._lose()
            return []
        return found

    def _read(self, line: Line | Poll) -> list[Difference]:
        watching = self._watching
        seconds = min(watching.due(time.monotonic()), IDLE_SECONDS)
        changed = line.hear(seconds)
        if changed.keys and seconds > 0 and (early := self._looked + GATHER_SECONDS - time.monotonic()) > 0:
            watching.changed(changed.keys)
            time.sleep(early)
            changed = line.hear(0)
        elif seconds == IDLE_SECONDS and not changed.keys and not changed.everything:
            line.ping()
        watching.changed(changed.keys, everything=changed.everything)
        self._looked = time.monotonic()
        return run(watching.look(self._looked), self._post or line.post)

    def _lose(self) -> None:
        if self._line is not None:
            line, self._line = self._line, None
            line.close()


def run(flow: Flow[T], post: Callable[[Ask], list[Any]]) -> T:
    """Run a flow of reads."""
    step = advance(flow)
    while not isinstance(step, Done):
        assert isinstance(step, Ask)
        step = advance(flow, post(step))
    value: T = step.value
    return value
