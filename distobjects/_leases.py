"""Connections kept between round trips, instead of taken from the pool and given back for each. Knows no Redis.

`get` and `release` of a redis-py pool cost a quarter of a round trip. A lease skips them, under these rules:

1. A lease is used by one thread at a time: taken from a deque, put back after the last reply has been read.
2. Whatever goes wrong in between, the connection is closed before the pool has it back: no reply can reach another.
3. A lease lasts half a second. Then the connection goes through the pool, so that its health check, authentication,
   maintenance and reconnecting still apply. A thread gives back what lies idle, and ends when nothing does.
4. At most a quarter of the pool is leased, and never the only connection: the pool is the user's, too. As many more
   may be in flight.
5. Before a write, a connection that has lain idle is asked whether it still lives: a write cannot be repeated.
6. After a fork the child forgets its parent's leases, and what its parent has in flight.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any
from weakref import WeakSet

from ._channels import Channel

_LEASE_SECONDS = 0.5
_MOST = 16
# A connection in steady use is not asked whether it lives: that costs a tenth of a round trip.
_IDLE_SECONDS = 0.001


class Lease:
    """A connection, how it is driven, how long it may still be kept, and when it was last taken."""

    __slots__ = ("channel", "connection", "until", "used")

    def __init__(self, connection: Any, channel: Channel, now: float) -> None:
        self.connection = connection
        self.channel = channel
        self.until = now + _LEASE_SECONDS
        self.used = now


_all: WeakSet[Leases] = WeakSet()


def _forget() -> None:
    for each in _all:
        each._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # asking for the process id would cost a hundredth of a round trip


class Leases:
    """The leases on one pool.

    Args:
        get: takes a connection from the pool.
        drive: finds out how to drive it.

    Attributes:
        runways: one is to be had for each lease that is in flight, while others are taken.
    """

    def __init__(self, pool: Any, get: Callable[[], Any], drive: Callable[[Any], Channel]) -> None:
        self._pool = pool
        self._get = get
        self._drive = drive
        self._most = min(_MOST, getattr(pool, "max_connections", 0) // 4)
        # With maintenance notifications, redis-py's pool does not look whether an idle connection has died.
        notified = getattr(pool, "maint_notifications_enabled", None)
        self._unchecked = notified is not None and bool(notified())
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._idle: deque[Lease] = deque()
        self.runways = threading.Semaphore(self._most)
        self._keeper: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = threading.Event()

    # By position: an argument with its name costs a call on this path half a hundredth of a round trip.
    def take(self, writing: bool, /) -> Lease:
        """Return a lease; it is to be given back, or dropped."""
        now = monotonic()
        while True:
            try:
                lease = self._idle.pop()
            except IndexError:
                return self._new(now, writing=writing)
            if now >= lease.until:
                self._give_back(lease)
            elif not writing or now - lease.used < _IDLE_SECONDS or lease.channel.lives():
                lease.used = now
                return lease
            else:
                self.drop(lease)

    def _new(self, now: float, *, writing: bool) -> Lease:
        connection = self._get()
        try:
            connection.check_health()
            channel = self._drive(connection)
            if writing and self._unchecked and not channel.lives():
                connection.disconnect()
                connection.connect()
                channel = self._drive(connection)
        except BaseException:
            self._drop(connection)
            raise
        return Lease(connection, channel, now)

    def give(self, lease: Lease) -> None:
        """Keep a lease whose replies have all been read."""
        if lease.channel.spent:
            self.drop(lease)
        elif len(self._idle) >= self._most:
            self._give_back(lease)
        else:
            self._idle.append(lease)
            if self._keeper is None:
                self._start()

    def _give_back(self, lease: Lease) -> None:
        lease.channel.leave()
        self._pool.release(lease.connection)

    def drop(self, lease: Lease) -> None:
        """Close a connection on which a reply may still arrive, and give it back to the pool."""
        self._drop(lease.connection)

    def _drop(self, connection: Any) -> None:
        try:
            connection.disconnect()
        finally:
            self._pool.release(connection)

    def _start(self) -> None:
        with self._starting:
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="distobjects-leases", daemon=True)
                self._keeper.start()

    def _keep(self) -> None:
        """Give back what has lain idle for too long, until nothing does."""
        me = self._keeper
        while not self._closed.wait(_LEASE_SECONDS):
            self._release(monotonic())
            if not self._idle:
                self._keeper = None
                if not self._idle:
                    return
                self._keeper = me  # a lease came in between, and counted on this thread

    def _release(self, now: float) -> None:
        """Give back the idle leases that end by `now`."""
        for _ in range(len(self._idle)):
            try:
                lease = self._idle.popleft()
            except IndexError:
                return
            if now >= lease.until:
                self._give_back(lease)
            else:
                self._idle.appendleft(lease)
                return

    def close(self) -> None:
        """Give back every lease; what is in use is given back when it is done."""
        self._most = 0
        self._closed.set()
        self._release(float("inf"))
