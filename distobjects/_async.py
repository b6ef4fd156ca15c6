"""Runs flows for asyncio: the twin of `_sync`, the same step by step."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from . import _wire
from ._flow import Ask, Begun, Done, Flow, Pause, begun
from ._near import Near
from ._retry import Lost, delay
from ._watching import IDLE_SECONDS, Difference, Watching
from .errors import DistObjectsError, StoreUnavailable

if TYPE_CHECKING:
    from . import _async_lines, _async_links, _async_lookouts
    from ._async_channel import Channel

T = TypeVar("T")

_NOT_BEGUN: Any = object()


class AsyncRunner:
    """Runs flows through one client per event loop: a connection belongs to the loop that opened it."""

    def __init__(self, make_client: Callable[[], Any], near: Near | None = None, *, multiplex: bool = True) -> None:
        from . import _async_links  # importing redis takes half a second: not before there is a client

        self.make_client = make_client

        def link_to(client: Any) -> Any:
            return _async_links.async_link_to(client, multiplex=multiplex)

        self._link_to: Callable[[Any], Any] = link_to
        self.near = near
        if near is not None:
            from . import _async_near_links

            self._link_to = lambda client: _async_near_links.async_near_link(link_to(client), near)
        first = self._link_to(make_client())
        self._unused: Iterator[Any] = iter((first,))
        self._where: str = first.where
        self._links: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
        # In one piece: loops of several threads may come here at a time.
        self._latest: tuple[asyncio.AbstractEventLoop | None, Channel | None] = None, None
        self.closed = False
        self.trips = 0
        # Not a set: the keys of this come in one piece, whatever other threads add meanwhile.
        self._lines: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()

    @property
    def where(self) -> str:
        """The server, without credentials."""
        return self._where

    @property
    def client(self) -> Any:
        """The client of the running loop."""
        return self._link().client

    def _link(self) -> Any:
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            for each in self._links.keyrefs():
                if (ended := each()) is not None and ended.is_closed():
                    self._links.pop(ended, None)  # its connections hold it, so no collection would
            link = self._links[loop] = next(self._unused, None) or self._link_to(self.make_client())
        return link

    def channel(self) -> Channel | None:
        """Return what to send one command over, in place of a flow's first ask; None where flows alone can ask.

        Whoever gets it sends one; `run` takes what comes of that, unless it is all that was wanted.
        """
        loop, channel = self._latest
        if loop is not asyncio.get_running_loop():
            channel = None
            if self.near is None and not self.closed and (begin := getattr(self._link(), "begin", None)) is not None:
                channel = begin()
            self._latest = asyncio.get_running_loop(), channel
            if self.closed:  # meanwhile, by another thread
                self._latest = None, None
        if channel is not None:
            self.trips += 1
        return channel

    async def run(self, flow: Flow[T], begun: Any = _NOT_BEGUN) -> T:
        """Run a flow to its end and return its value.

        Args:
            begun: what came of its first ask, of one command, which has been sent: the reply as the server made it,
                or `Lost`.
        """
        if self.closed:
            raise StoreUnavailable(f"the backend of {self.where} is closed; connect again")
        started = time.monotonic()
        try:
            step = next(flow)
            lost = begun if isinstance(begun, Lost) else None
            if begun is not _NOT_BEGUN and lost is None:
                step = flow.send([self._link().told(begun)])
            while True:
                if isinstance(step, Ask):
                    try:
                        replies, lost = await self._post(step, lost), None
                    except DistObjectsError as error:
                        step = flow.throw(error)  # it may have something to give back
                    else:
                        step = flow.send(replies)
                else:
                    await asyncio.sleep(step.seconds)
                    step = flow.send([time.monotonic() - started])
        except StopIteration as stop:  # as advance() has it, without its tuple for each step
            value: T = stop.value
            return value

    async def _post(self, ask: Ask, lost: Lost | None = None) -> list[Any]:
        link = self._link()
        started, attempt = time.monotonic(), 0
        while True:
            if lost is None:
                self.trips += 1
                try:
                    replies: list[Any] = await link.post(ask)
                    return replies
                except Lost as error:
                    lost = error
            seconds = delay(lost, ask, attempt, time.monotonic() - started)
            if self.closed:  # meanwhile; nothing is opened again
                raise lost.error from lost.__cause__
            await asyncio.sleep(seconds)
            lost, attempt = None, attempt + 1

    def differences(self, watching: Watching, poll_seconds: float) -> AsyncGenerator[Difference, None]:
        """Yield what changes, until this is closed; where nothing tells, by asking every `poll_seconds`."""
        return self.lookout(watching, IDLE_SECONDS, poll_seconds).differences()

    def lookout(self, watching: Watching, idle_seconds: float, poll_seconds: float) -> _async_lookouts.AsyncLookout:
        """Return who watches; it asks for a sign of life when it has heard nothing for so long."""
        from . import _async_lookouts

        async def open_() -> Any:
            return await self._line(watching.sight.prefix, poll_seconds)

        return _async_lookouts.AsyncLookout(watching, open_, self._post, lambda: self.closed, idle_seconds)

    async def _line(self, prefix: bytes | None, poll_seconds: float) -> _async_lines.AsyncLine | _async_lines.AsyncPoll:
        from . import _async_lines

        line = await _async_lines.open_async_line(self.client, prefix, self._post, poll_seconds)
        self._lines[line] = None
        if self.closed:  # meanwhile
            await line.close()
        return line

    def refuse_slots(self, keys: list[str]) -> None:
        """Refuse keys that a cluster has in different slots."""
        _wire.refuse_slots(self.client, keys)

    def lease(self, key: str, lease_seconds: float, wait_seconds: float) -> _async_links.AsyncLease:
        """Return a lock on a key, not held yet."""
        from . import _async_links

        return _async_links.AsyncLease(self.client, key, lease_seconds, wait_seconds)

    async def each(self, flows: AsyncIterable[Flow[T]]) -> AsyncGenerator[T, None]:
        """Run flows in turn and yield their values.

        While one works on the replies to its first ask, the next one's first ask is on its way. But nothing leaves
        before what writes has ended. A failure to get replies is raised inside of the flow, which knows what it means.
        """
        if self.closed:
            raise StoreUnavailable(f"the backend of {self.where} is closed; connect again")
        ahead: tuple[Begun[T], asyncio.Task[list[Any]] | None] | None = None
        try:
            async for coming in _begun(flows):
                if ahead is not None and not ahead[0].reads:
                    written, ahead = ahead, None
                    yield await self._ended(*written)
                this, ahead = ahead, coming and (coming, await self._launched(coming.step))
                if this is not None:
                    yield await self._ended(*this)
        finally:
            if ahead is not None and ahead[1] is not None:
                await _dropped(ahead[1])

    async def _launched(self, step: object) -> asyncio.Task[list[Any]] | None:
        """Send an ask whose replies are wanted later; None where it is no ask."""
        if not isinstance(step, Ask):
            return None
        flight = asyncio.ensure_future(self._post(step))
        try:
            for _ in range(4):  # so many turns of the loop a link may take before it has sent something
                await asyncio.sleep(0)
        except BaseException:
            await _dropped(flight)
            raise
        return flight

    async def _ended(self, this: Begun[T], flight: asyncio.Task[list[Any]] | None) -> T:
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
                    replies = await (flight or self._answered(step, started))
                except DistObjectsError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(replies)
                flight = None
        except StopIteration as stop:
            value: T = stop.value
            return value

    async def _answered(self, step: Ask | Pause, started: float) -> list[Any]:
        if isinstance(step, Ask):
            return await self._post(step)
        await asyncio.sleep(step.seconds)
        return [time.monotonic() - started]

    async def close(self, *, own: bool) -> None:
        """Run nothing more. Close the running loop's client if it is our `own`; others ended with their loops."""
        self.closed = True
        self._latest = None, None
        for ref in self._lines.keyrefs():
            if (line := ref()) is not None and line.loop is asyncio.get_running_loop():
                await line.close()
        link = self._links.pop(asyncio.get_running_loop(), None)
        if self.near is not None and link is not None:
            await link.forget()
        if link is not None:
            await link.close(own=own)


async def _begun(flows: AsyncIterable[Flow[T]]) -> AsyncGenerator[Begun[T] | None, None]:
    """Yield flows that have begun; at the end, or after the failure of who makes them, None."""
    try:
        async for flow in flows:
            yield begun(flow)
    except Exception as error:  # noqa: BLE001  # not carried on from: it is raised in its turn
        yield Begun(None, error)
    yield None


async def _dropped(flight: asyncio.Task[list[Any]]) -> None:
    """Give up what is on its way; whether it has failed does not matter any more."""
    flight.cancel()
    await asyncio.wait((flight,))
    if not flight.cancelled():
        flight.exception()
