"""Watching, for asyncio; the twin of `_lookouts`. There is no task in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ._flow import Ask, Done, Flow, advance
from ._watching import GATHER_SECONDS, RETRY_SECONDS, Difference, Watching
from .errors import StoreBusy, StoreUnavailable

if TYPE_CHECKING:
    from ._async_lines import AsyncLine, AsyncPoll

T = TypeVar("T")


class AsyncLookout:
    """The twin of `Lookout` for asyncio.

    Attributes:
        ended: says whether the backend is closed.
        alive: when what has been answered last was asked: what was seen last is no older, where nothing is dirty.
    """

    def __init__(
        self,
        watching: Watching,
        open: Callable[[], Awaitable[AsyncLine | AsyncPoll]],
        post: Callable[[Ask], Awaitable[list[Any]]],
        closed: Callable[[], bool],
        idle_seconds: float,
    ) -> None:
        self._watching = watching
        # Whole spaces are read past the line: to who is subscribed, the server sends no more than its limit at once.
        self._post = post if watching.sight.prefix is not None else None
        self._open = open
        self.ended = closed
        self._idle_seconds = idle_seconds
        self._line: AsyncLine | AsyncPoll | None = None
        self._begun = False
        self.alive = self._looked = 0.0

    def settled(self) -> bool:
        """Say whether all that was there at the beginning has been read."""
        return self._begun and self._watching.due(time.monotonic()) > 0

    async def differences(self) -> AsyncGenerator[Difference, None]:
        """Yield what changes, until the backend is closed.

        Raises:
            StoreUnavailable: the server could not be reached at the beginning; later, it is tried again.
            AccessDenied: an ACL forbids it.
        """
        try:
            while not self.ended():
                for difference in await self.look():
                    yield difference
        finally:
            await self.close()

    async def look(self) -> list[Difference]:
        """Wait until something is due, for a while at most, and return what has changed."""
        try:
            if self._line is None:
                self._line = await self._open()
                self._begun = True
                self._watching.everything()
            found = await self._read(self._line)
        except (StoreUnavailable, StoreBusy):
            if self.ended():
                return []
            if not self._begun:
                raise
            if self._line is None:
                await asyncio.sleep(RETRY_SECONDS)
            await self.close()
            return []
        return found

    async def _read(self, line: AsyncLine | AsyncPoll) -> list[Difference]:
        watching = self._watching
        seconds = min(watching.due(time.monotonic()), self._idle_seconds)
        changed = await line.hear(seconds)
        if changed.keys and seconds > 0 and (early := self._looked + GATHER_SECONDS - time.monotonic()) > 0:
            watching.changed(changed.keys)
            await asyncio.sleep(early)
            changed = await line.hear(0)
        elif seconds == self._idle_seconds and not changed.keys and not changed.everything:
            asked = time.monotonic()
            await line.ping()
            self.alive = asked
        watching.changed(changed.keys, everything=changed.everything)
        self._looked = asked = time.monotonic()
        due = watching.due(asked) == 0
        found = await _run(watching.look(asked), self._post or line.post)
        self.alive = asked if due else self.alive
        return found

    async def close(self) -> None:
        """Close the line, if there is one."""
        if self._line is not None:
            line, self._line = self._line, None
            await line.close()


async def _run(flow: Flow[T], post: Callable[[Ask], Awaitable[list[Any]]]) -> T:
    """Run a flow of reads."""
    step = advance(flow)
    while not isinstance(step, Done):
        assert isinstance(step, Ask)
        step = advance(flow, await post(step))
    value: T = step.value
    return value
