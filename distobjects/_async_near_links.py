"""The way to the server with a near cache before it, for asyncio; the twin of `_near_links`, one for each loop."""

from __future__ import annotations

import asyncio
import select
from contextlib import suppress
from time import monotonic
from typing import Any

from ._async_invalidations import AsyncListener, AsyncReader
from ._async_links import AsyncClientLink, AsyncPoolLink
from ._flow import Ask, Command, Done, advance
from ._near import Cache, Entry, Near, Pulse, Table
from ._near_reads import load_dated
from ._redis import cannot_hear
from ._space import Space
from ._wire import keys_of
from .errors import AccessDenied, DistObjectsError, NotFound, StoreBusy, StoreUnavailable

_BACK_OFF_SECONDS = 0.5
# So many turns of the loop, at most, for what has arrived to be taken in; beyond that, reads go past the cache.
_TURNS = 8
_PING = Ask([Command(args=("PING",), repeatable=True)])


class AsyncNearLink:
    """The twin of `NearLink` for asyncio."""

    def __init__(self, link: AsyncPoolLink, options: Near) -> None:
        self.client = link.client
        self.where = link.where
        self.cache = Cache(options)
        self._link = link
        self._tables: dict[int, tuple[Space, Table]] = {}
        self._opening = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._listener: AsyncListener | None = None
        self._reader: AsyncReader | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._lost = self._closed = False
        self._next_open = 0.0

    async def post(self, ask: Ask) -> list[Any]:
        """Send the commands past the cache, and drop the objects that they name."""
        try:
            return await self._link.post(ask)
        finally:
            for key in keys_of(ask.commands):
                self.cache.drop(key)

    def table(self, space: Space) -> Table:
        """Return the objects of a space."""
        if id(space) not in self._tables:
            self._tables[id(space)] = space, self.cache.table(space.schema.fields)
        return self._tables[id(space)][1]

    async def entry(self, space: Space, id: str) -> Entry | None:
        """Return the entry of an object; None where it cannot be had through the cache: then ask past it.

        One round trip at most: `PTTL` and `HMGET` or `HGETALL`.

        Raises:
            Unsupported, AccessDenied: the server will not tell what changes.
        """
        if monotonic() >= self.cache.until and not await self._look():
            return None
        table = self.table(space)
        found = table.entries.get(id)
        if found is not None and monotonic() < found.until:
            found.used = True
            return found
        async with self._reading:
            found = table.entries.get(id)
            if found is not None and monotonic() < found.until:  # another task has been faster
                return found
            return await self._fetch(table, space, id)

    async def _fetch(self, table: Table, space: Space, id: str) -> Entry | None:
        if self._reader is None or self._lost:
            return None
        entry = self.cache.open(table, id, space.key(id).encode())
        asked, flow = monotonic(), load_dated(space, id)
        step = advance(flow)
        assert isinstance(step, Ask)
        try:
            replies = await self._reader.post(step)
        except DistObjectsError:
            self._lose()
            return None
        except BaseException:  # cancelled: a reply is still on its way and must reach nobody else
            self._lose()
            raise
        self._reader_pulse.lived(asked)
        try:
            done = advance(flow, replies)
        except BaseException as error:
            self.cache.drop(entry.key)
            if isinstance(error, NotFound):
                return None
            raise
        assert isinstance(done, Done)
        entry.raws, seconds = done.value
        self.cache.fill(entry, entry.raws, asked=asked, seconds=seconds)
        return entry

    def _lose(self) -> None:
        self._lost = True
        self.cache.distrust()
        self.cache.clear()

    async def _look(self) -> bool:
        """Take in what has arrived; say whether what is left counts."""
        if (self._lost or self._listener is None) and not await self._connected():
            return False
        for _ in range(_TURNS):
            now = monotonic()
            if self._lost or self._listener is None or self._reader is None:
                return False
            if self._listener.ended() or self._reader.ended():  # there would be something to take in for ever
                self._lose()
                return False
            if not self._poll.poll(0):  # the event loop has taken in all that had arrived by now
                break
            await asyncio.sleep(0)
        else:
            return False
        try:
            self._hear(now)
        except DistObjectsError:
            self._lose()
            return False
        return self.cache.look(now, self._pulse, self._reader_pulse)

    def _hear(self, now: float) -> None:
        assert self._listener is not None
        assert self._reader is not None
        heard = self._listener.drain()
        if heard.everything:
            self.cache.clear()
        for key in heard.keys:
            self.cache.drop(key)
        if heard.pongs:
            self._pulse.answered()
        if self._pulse.due(now):
            self._pulse.sent(now)
            self._listener.ping()
        if self._pulse.silent(now):
            raise StoreUnavailable(f"{self.where} does not answer")
        if self._reader_pulse.due(now) and self._pinging is None:
            self._pinging = asyncio.create_task(self._ping())

    async def _ping(self) -> None:
        """Ask for a sign of life over the connection that reads."""
        try:
            async with self._reading:
                if self._reader is not None and not self._lost:
                    asked = monotonic()
                    await self._reader.post(_PING)
                    self._reader_pulse.lived(asked)
        except DistObjectsError:
            self._lose()
        finally:
            self._pinging = None

    async def _connected(self) -> bool:
        """Open the connections, again if they are lost; say whether they are there."""
        async with self._opening:
            if self._listener is not None and not self._lost:
                return True
            if self._closed or monotonic() < self._next_open:
                return False
            async with self._reading:
                await self._disconnect()
                try:
                    await self._open()
                except (StoreUnavailable, StoreBusy):
                    self._next_open = monotonic() + _BACK_OFF_SECONDS
                    return False
                except AccessDenied:
                    raise  # it will be refused again, and is to be told again
                except DistObjectsError as error:
                    raise cannot_hear(self.where, "one without CLIENT TRACKING") from error
                self._next_open = monotonic() + _BACK_OFF_SECONDS
            return True

    async def _open(self) -> None:
        now = monotonic()
        reader, listener = AsyncReader(self.client), AsyncListener(self.client)
        await reader.begin()
        try:
            await listener.begin(reader)
        except BaseException:
            await reader.close()
            raise
        self._listener, self._reader = listener, reader
        self._poll = select.poll()
        self._poll.register(listener.fileno(), select.POLLIN)
        self._poll.register(reader.fileno(), select.POLLIN)
        lease_seconds = self.cache.options.lease_seconds
        self._pulse, self._reader_pulse = Pulse(now, lease_seconds), Pulse(now, lease_seconds)
        self.cache.clear()
        self._lost = False

    async def _disconnect(self) -> None:
        for each in (self._listener, self._reader):
            if each is not None:
                await each.close()
        self._listener = self._reader = None

    async def forget(self) -> None:
        """Forget everything and close the connections that are our own."""
        self._closed = True
        self._lose()
        if self._pinging is not None:
            self._pinging.cancel()
            with suppress(asyncio.CancelledError):
                await self._pinging
        async with self._reading:
            await self._disconnect()

    async def close(self, *, own: bool) -> None:
        await self._link.close(own=own)


class AsyncNearby:
    """The near cache's objects of one space, whichever loop runs."""

    __slots__ = ("_runner", "_space")

    def __init__(self, runner: Any, space: Space) -> None:
        self._runner = runner
        self._space = space

    async def entry(self, id: str) -> Entry | None:
        """Return an object's entry, fetched if need be; None where it has to be read past the cache."""
        if self._runner.closed:
            return None
        found: Entry | None = await self._runner._link().entry(self._space, id)
        return found


def async_near_link(link: AsyncPoolLink | AsyncClientLink, options: Near) -> AsyncNearLink:
    """Put a near cache before a link.

    Raises:
        Unsupported: this client cannot hear of changes.
    """
    if not isinstance(link, AsyncPoolLink):
        raise cannot_hear(link.where, type(link.client).__name__)
    return AsyncNearLink(link, options)
