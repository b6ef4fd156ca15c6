"""The way to the server with a near cache before it, for threads.

There is no thread in it: who reads looks at what has been heard, at most every `LOOK_SECONDS`, sends the PINGs that
keep the lease, and opens the connections anew after a failure. Two connections beside the pool: one that listens,
and one that reads what is to be kept, under a lock.
"""

from __future__ import annotations

import functools
import os
import select
import threading
import weakref
from time import monotonic
from typing import Any

from ._flow import Ask, Done, advance
from ._invalidations import Listener, Reader
from ._links import ClientLink, PoolLink, Waiting
from ._near import Cache, Entry, Near, Pulse, Table
from ._near_reads import load_dated
from ._redis import cannot_hear
from ._space import Space
from ._wire import keys_of
from .errors import AccessDenied, DistObjectsError, NotFound, StoreBusy, StoreUnavailable

# After an attempt to open the connections, there is none for so long: reads go past the cache.
_BACK_OFF_SECONDS = 0.5
_links: weakref.WeakSet[NearLink] = weakref.WeakSet()


@functools.cache
def _watch_forks() -> None:
    os.register_at_fork(after_in_child=_begin_anew)


def _begin_anew() -> None:
    """Let no link of a child use its parent's connections, nor wait for a lock that a thread of its parent holds."""
    for each in _links:
        each._begin()


class NearLink:
    """Sends asks over another link, and keeps whole objects that are read through it."""

    def __init__(self, link: PoolLink, options: Near) -> None:
        self.client = link.client
        self.where = link.where
        self.cache = Cache(options)
        self._link = link
        self._closed = False
        self._begin()
        _links.add(self)
        _watch_forks()

    def _begin(self) -> None:
        """Know nothing: at first, and in the child after a fork."""
        self._changing = threading.Lock()
        self._hearing = threading.Lock()
        self._reading = threading.Lock()
        self._listener: Listener | None = None
        self._reader: Reader | None = None
        self._lost = False
        self._next_open = 0.0
        self.cache.distrust()
        self.cache.clear()

    def post(self, ask: Ask) -> list[Any]:
        """Send the commands past the cache, and drop the objects that they name."""
        try:
            return self._link.post(ask)
        finally:
            self._drop(ask)

    def launch(self, ask: Ask) -> Passing | Waiting:
        """Send commands that only read; others when their replies are wanted."""
        return Passing(self, ask) if ask.repeatable else Waiting(self, ask)

    def _drop(self, ask: Ask) -> None:
        keys = keys_of(ask.commands)
        with self._changing:
            for key in keys:
                self.cache.drop(key)

    def entry(self, table: Table, space: Space, id: str) -> Entry | None:
        """Return the entry of an object; None where it cannot be had through the cache: then ask past it.

        One round trip at most: `PTTL` and `HMGET` or `HGETALL`.

        Raises:
            Unsupported, AccessDenied: the server will not tell what changes.
        """
        now = monotonic()
        if now >= self.cache.until and not self._look():
            return None
        found = table.entries.get(id)
        if found is not None and now < found.until:
            found.used = True
            return found
        with self._reading:
            found = table.entries.get(id)
            if found is not None and monotonic() < found.until:  # another thread has been faster
                return found
            return self._fetch(table, space, id)

    def _fetch(self, table: Table, space: Space, id: str) -> Entry | None:
        if self._reader is None or self._lost:
            return None
        with self._changing:
            entry = self.cache.open(table, id, space.key(id).encode())
        asked, flow = monotonic(), load_dated(space, id)
        step = advance(flow)
        assert isinstance(step, Ask)
        try:
            replies = self._reader.post(step)
        except BaseException as error:
            self._lose()
            if isinstance(error, DistObjectsError):
                return None
            raise
        self._reader_pulse.answered()
        self._reader_pulse.lived(asked)
        try:
            done = advance(flow, replies)
        except BaseException as error:
            with self._changing:
                self.cache.drop(entry.key)
            if isinstance(error, NotFound):
                return None
            raise
        assert isinstance(done, Done)
        entry.raws, seconds = done.value
        with self._changing:
            self.cache.fill(entry, entry.raws, asked=asked, seconds=seconds)
        return entry

    def share(self, entry: Entry, name: str, value: Any) -> None:
        """Keep a decoded value with its entry."""
        with self._changing:
            self.cache.share(entry, name, value)

    def _lose(self) -> None:
        """Let nothing count any more: a connection is lost, and nothing tells what changes."""
        self._lost = True
        with self._changing:
            self.cache.distrust()
            self.cache.clear()

    def _look(self) -> bool:
        """Take in what has arrived; say whether what is left counts. Costs 2 us: who spins looks all the time."""
        with self._hearing:
            now = monotonic()
            if now < self.cache.until:  # another thread has just looked
                return True
            if self._lost:
                self._disconnect()
            if self._listener is None:
                if not self._open():
                    return False
                now = monotonic()
            try:
                if self._poll.poll(0):
                    self._hear()
                if now >= self._pulse.next or now >= self._reader_pulse.next:
                    self._ask_for_life(now)
            except DistObjectsError:
                self._lose()
                return False
            with self._changing:
                return not self._lost and self.cache.look(now, self._pulse, self._reader_pulse)

    def _hear(self) -> None:
        assert self._listener is not None
        assert self._reader is not None
        heard = self._listener.drain()
        with self._changing:
            if heard.everything:
                self.cache.clear()
            for key in heard.keys:
                self.cache.drop(key)
        if heard.pongs:
            self._pulse.answered()
        if self._reading.acquire(blocking=False):  # who has it reads what there is
            try:
                if self._reader.drain():
                    self._reader_pulse.answered()
            finally:
                self._reading.release()

    def _ask_for_life(self, now: float) -> None:
        """Send the PINGs that are due; give up a connection that is silent though what had arrived has been heard."""
        assert self._listener is not None
        assert self._reader is not None
        if self._pulse.due(now):
            self._pulse.sent(now)
            self._listener.ping()
        silent = self._pulse.silent(now)
        if self._reading.acquire(blocking=False):  # who has it is reading, which is a sign of life itself
            try:
                if self._reader.drain():
                    self._reader_pulse.answered()
                if self._reader_pulse.due(now):
                    self._reader_pulse.sent(now)
                    self._reader.ping()
                silent |= self._reader_pulse.silent(now)
            finally:
                self._reading.release()
        if silent:
            raise StoreUnavailable(f"{self.where} does not answer")

    def _open(self) -> bool:
        now = monotonic()
        if self._closed or now < self._next_open:
            return False
        with self._reading:
            try:
                reader = Reader(self.client)
                try:
                    listener = Listener(self.client, reader)
                except BaseException:
                    reader.close()
                    raise
            except (StoreUnavailable, StoreBusy):
                self._next_open = monotonic() + _BACK_OFF_SECONDS
                return False
            except AccessDenied:
                raise  # it will be refused again, and is to be told again
            except DistObjectsError as error:
                raise cannot_hear(self.where, "one without CLIENT TRACKING") from error
            self._next_open = monotonic() + _BACK_OFF_SECONDS
            self._listener, self._reader = listener, reader
            self._poll = select.poll()
            self._poll.register(listener.fileno(), select.POLLIN)
            self._poll.register(reader.fileno(), select.POLLIN)
            lease_seconds = self.cache.options.lease_seconds
            self._pulse, self._reader_pulse = Pulse(now, lease_seconds), Pulse(now, lease_seconds)
            with self._changing:
                self.cache.clear()
                self._lost = False
        return True

    def _disconnect(self) -> None:
        with self._reading:
            for each in (self._listener, self._reader):
                if each is not None:
                    each.close()
            self._listener = self._reader = None

    def close(self, *, own: bool) -> None:
        """Forget everything and close the connections."""
        with self._hearing:
            self._closed = True
            self._lose()
            self._disconnect()
        self._link.close(own=own)


class Passing:
    """Reads that are on their way past the cache: what they bring is handed out only when the cache has dropped it."""

    def __init__(self, link: NearLink, ask: Ask) -> None:
        self._link = link
        self._ask = ask
        self._flight = link._link.launch(ask)

    def land(self) -> list[Any]:
        """Return the replies, as `post` does."""
        try:
            return self._flight.land()
        finally:
            self._link._drop(self._ask)

    def drop(self) -> None:
        """Give them up."""
        self._flight.drop()


def near_link(link: PoolLink | ClientLink, options: Near) -> NearLink:
    """Put a near cache before a link.

    Raises:
        Unsupported: this client cannot hear of changes.
    """
    if not isinstance(link, PoolLink):
        raise cannot_hear(link.where, type(link.client).__name__)
    return NearLink(link, options)
