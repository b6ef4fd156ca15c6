"""The way to the server with a near cache before it, for threads.

There is no thread in it: who reads looks at what has been heard, at most every `LOOK_SECONDS`, sends the PINGs that
keep the lease, and opens the connections anew after a failure. Two connections beside the pool: one that listens,
and one that reads what is to be kept, under a lock.
"""

from __future__ import annotations

import os
import select
import threading
from time import monotonic
from typing import Any

from ._flow import Ask, Done, advance
from ._invalidations import Listener, Reader, open_listener
from ._links import ClientLink, PoolLink
from ._near import Cache, Entry, Near, Pulse, Table
from ._near_reads import load_dated
from ._redis import cannot_hear
from ._space import Space
from ._wire import keys_of
from .errors import AccessDenied, DistObjectsError, NotFound, StoreBusy, StoreUnavailable

# After a connection could not be opened, reads go past the cache for so long.
_BACK_OFF_SECONDS = 0.5


class NearLink:
    """Sends asks over another link, and keeps whole objects that are read through it."""

    def __init__(self, link: PoolLink, options: Near) -> None:
        self.client = link.client
        self.where = link.where
        self.cache = Cache(options)
        self._link = link
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        """Know nothing: at first, and in the child after a fork, where another thread may have held a lock."""
        self._pid = os.getpid()
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
        """Take in what has arrived; say whether what is left counts."""
        if self._pid != os.getpid():
            self._begin()
        with self._hearing:
            now = monotonic()
            if now < self.cache.until:  # another thread has just looked
                return True
            if self._lost:
                self._disconnect()
            if self._listener is None and not self._open(now):
                return False
            now = monotonic()
            try:
                self._hear(now)
            except DistObjectsError:
                self._lose()
                return False
            with self._changing:
                return not self._lost and self.cache.look(now, self._pulse, self._reader_pulse)

    def _hear(self, now: float) -> None:
        listener, reader = self._listener, self._reader
        assert listener is not None
        assert reader is not None
        if self._poll.poll(0):
            heard = listener.drain()
            with self._changing:
                if heard.everything:
                    self.cache.clear()
                for key in heard.keys:
                    self.cache.drop(key)
            if heard.pongs:
                self._pulse.answered()
        if self._pulse.due(now):
            self._pulse.sent(now)
            listener.ping()
        if self._pulse.silent(now) or self._reader_pulse.silent(now):
            raise StoreUnavailable(f"{self.where} does not answer")
        if self._reading.acquire(blocking=False):  # who has it is reading, which is a sign of life itself
            try:
                if reader.drain():
                    self._reader_pulse.answered()
                if self._reader_pulse.due(now):
                    self._reader_pulse.sent(now)
                    reader.ping()
            finally:
                self._reading.release()

    def _open(self, now: float) -> bool:
        if self._closed or now < self._next_open:
            return False
        self._next_open = now + _BACK_OFF_SECONDS
        with self._reading:
            try:
                reader = Reader(self.client)
                try:
                    listener = open_listener(self.client, beside=reader)
                except BaseException:
                    reader.close()
                    raise
            except (StoreUnavailable, StoreBusy):
                return False
            except AccessDenied:
                self._next_open = 0.0  # it will be refused again, and is to be told again
                raise
            except DistObjectsError as error:
                self._next_open = 0.0
                raise cannot_hear(self.where, "one without CLIENT TRACKING") from error
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
        if self._pid != os.getpid():
            self._begin()
        with self._hearing:
            self._closed = True
            self._lose()
            self._disconnect()
        self._link.close(own=own)


def near_link(link: PoolLink | ClientLink, options: Near) -> NearLink:
    """Put a near cache before a link.

    Raises:
        Unsupported: this client cannot hear of changes.
    """
    if not isinstance(link, PoolLink):
        raise cannot_hear(link.where, type(link.client).__name__)
    return NearLink(link, options)
