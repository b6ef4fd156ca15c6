"""Runs flows for threads: sends each ask, waits, sends the replies back in. Knows nothing of objects."""

from __future__ import annotations

import inspect
import os
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from . import _wire
from ._flow import Ask, Begun, Done, Flow, Pause, begun
from ._near import Near
from ._retry import Lost, delay
from ._watching import Difference, Watching
from .errors import DistObjectsError, StoreUnavailable

if TYPE_CHECKING:
    from . import _lines, _links, _near_links

T = TypeVar("T")

_NOT_BEGUN: Any = object()

_PACKAGE = os.path.dirname(__file__) + os.sep


class Runner:
    """Runs flows through one client."""

    def __init__(self, client: Any, near: Near | None = None) -> None:
        from . import _links  # importing redis takes half a second: not before there is a client

        self._link: Any = _links.link_to(client)
        self._running_loop = sys.modules["asyncio"]._get_running_loop
        self.near: _near_links.NearLink | None = None
        if near is not None:
            from . import _near_links

            self.near = self._link = _near_links.near_link(self._link, near)
        self.closed = False
        self.trips = 0
        # Not a set: the keys of this come in one piece, whatever other threads add meanwhile.
        self._lines: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()

    @property
    def where(self) -> str:
        """The server, without credentials."""
        where: str = self._link.where
        return where

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its value."""
        self._enter()
        return self._run(flow)

    def _enter(self) -> None:
        if self.closed:
            raise StoreUnavailable(f"the backend of {self.where} is closed; connect again")
        if self._running_loop() is not None:
            _warn_of_blocking()

    def _run(self, flow: Flow[T], outcome: Any = _NOT_BEGUN) -> T:
        started = time.monotonic()
        try:
            step = next(flow)
            lost = outcome if isinstance(outcome, Lost) else None
            if outcome is not _NOT_BEGUN and lost is None:
                step = flow.send([outcome])
            while True:
                if isinstance(step, Ask):
                    try:
                        replies, lost = self._post(step, lost), None
                    except DistObjectsError as error:
                        step = flow.throw(error)  # it may have something to give back
                    else:
                        step = flow.send(replies)
                else:
                    time.sleep(step.seconds)
                    step = flow.send([time.monotonic() - started])
        except StopIteration as stop:  # as advance() has it, without its tuple for each step
            value: T = stop.value
            return value

    def _post(self, ask: Ask, lost: Lost | None = None) -> list[Any]:
        """Send an ask, again while that may help; `lost` is how it has ended the first time."""
        started, attempt = time.monotonic() - (lost.seconds if lost else 0.0), 0
        while True:
            if lost is not None:
                time.sleep(delay(lost, ask, attempt, time.monotonic() - started))
                attempt += 1
            self.trips += 1
            try:
                replies: list[Any] = self._link.post(ask)
                return replies
            except Lost as error:
                lost = error

    # ---- the short way, for one command that has been packed before

    @property
    def short(self) -> bool:
        """Whether there is one: not past a near cache, nor through a client that is not driven by hand."""
        return hasattr(self._link, "send")

    def send(self, packed: bytes, writing: bool, /) -> Any:
        """Send a command and return how it ended, whatever that is: the raw reply, or the `Lost` that came instead.

        Where that is not what was hoped for, `finish` goes on from it with the flow that would have asked.
        """
        if self.closed or self._running_loop() is not None:
            self._enter()
        started = time.monotonic()
        self.trips += 1
        try:
            [reply] = self._link.send(packed, 1, writing)
        except Lost as lost:
            lost.seconds = time.monotonic() - started
            return lost
        return reply

    def finish(self, flow: Flow[T], outcome: Any) -> T:
        """Run a flow whose first ask has been sent already and ended so; return its value."""
        return self._run(flow, outcome)

    def differences(
        self, watching: Watching, poll_seconds: float, begun: Callable[[], None] | None = None
    ) -> Generator[Difference, None, None]:
        """Yield what changes, until this is closed; where nothing tells, by asking every `poll_seconds`."""
        from . import _lookouts

        def open_() -> Any:
            return self.line(watching.sight.prefix, poll_seconds)

        return _lookouts.Lookout(watching, open_, self._post, lambda: self.closed).differences(begun)

    def line(self, prefix: bytes | None, poll_seconds: float) -> _lines.Line | _lines.Poll:
        """Open a connection that asks and hears, until this is closed."""
        from . import _lines

        line = _lines.open_line(self._link.client, prefix, self._post, poll_seconds)
        self._lines[line] = None
        if self.closed:  # meanwhile
            line.close()
        return line

    def refuse_slots(self, keys: list[str]) -> None:
        """Refuse keys that a cluster has in different slots."""
        _wire.refuse_slots(self._link.client, keys)

    def lease(self, key: str, lease_seconds: float, wait_seconds: float) -> _links.Lease:
        """Return a lock on a key, not held yet."""
        from . import _links

        return _links.Lease(self._link.client, key, lease_seconds, wait_seconds)

    def each(self, flows: Iterable[Flow[T]]) -> Generator[T, None, None]:
        """Run flows in turn and yield their values.

        While one works on the replies to its first ask, the next one's first ask is on its way. But nothing leaves
        before what writes has ended. A failure to get replies is raised inside of the flow, which knows what it means.
        """
        self._enter()
        ahead: tuple[Begun[T], Any] | None = None
        try:
            for coming in _begun(flows):
                if ahead is not None and not ahead[0].reads:
                    written, ahead = ahead, None
                    yield self._ended(*written)
                this, ahead = ahead, coming and (coming, self._launched(coming.step))
                if this is not None:
                    yield self._ended(*this)
        finally:
            if ahead is not None and ahead[1] is not None:
                ahead[1].drop()

    def _launched(self, step: object) -> Any:
        """Send an ask whose replies are wanted later; None where it is no ask."""
        if not isinstance(step, Ask):
            return None
        self.trips += 1
        return self._link.launch(step)

    def _ended(self, this: Begun[T], flight: Any) -> T:
        """Run a flow that has begun to its end and return its value."""
        flow, step = this
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Done):
            done: T = step.value
            return done
        assert flow is not None
        started = time.monotonic()
        try:
            while True:
                try:
                    replies = self._landed(step, flight, started)
                except DistObjectsError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(replies)
                flight = None
        except StopIteration as stop:
            value: T = stop.value
            return value

    def _landed(self, step: Ask | Pause, flight: Any, started: float) -> list[Any]:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return [time.monotonic() - started]
        if flight is not None:
            try:
                replies: list[Any] = flight.land()
                return replies
            except Lost as lost:
                time.sleep(delay(lost, step, 0, 0.0))
        return self._post(step)

    def close(self, *, own: bool) -> None:
        """Run nothing more. Close the client if it is our `own`."""
        self.closed = True
        for ref in self._lines.keyrefs():
            if (line := ref()) is not None:
                line.close()
        self._link.close(own=own)


def _begun(flows: Iterable[Flow[T]]) -> Generator[Begun[T] | None, None, None]:
    """Yield flows that have begun; at the end, or after the failure of who makes them, None."""
    try:
        for flow in flows:
            yield begun(flow)
    except Exception as error:  # noqa: BLE001  # not carried on from: it is raised in its turn
        yield Begun(None, error)
    yield None


def _warn_of_blocking() -> None:
    """Warn once per call site outside of the package: the default filter shows one text once per line."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    message = "a blocking call to Redis inside a running event loop stops all of its tasks; use connect_async()"
    warnings.warn(message, RuntimeWarning, stacklevel=level)
