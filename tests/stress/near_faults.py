"""The near cache while connections break, the network falls silent, and servers change places or start again.

Clocks are compared between processes: `time.monotonic` counts for the whole system.
"""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple

import redis
from pydantic import BaseModel

from distobjects import AsyncRedisBackend, DistObjectsError, Near, RedisBackend
from tests.fix_faults import Fault, Proxy, Storm, faulty
from tests.fix_servers import Server, poll, running
from tests.stress.crew import Post, Target
from tests.stress.figures import Figures
from tests.stress.stage import Stage, Work

_LEASE_SECONDS, _OPERATION_SECONDS = 0.3, 0.5
_NEAR = Near(lease_seconds=_LEASE_SECONDS)
# Beside the lease: what the bound allows for, a process that waits for its turn on the machine included.
_SLACK_SECONDS = 0.1
_RESETS = [Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.CUT_AFTERWARDS]
_NAMES = ["a", "b", "c"]


class Fields(BaseModel):
    """What is written in turn. An object has all fields or is not there: a default is older than all that was read."""

    a: int = -1
    b: int = -1
    c: int = -1


class Log(NamedTuple):
    """What a reader has seen.

    Attributes:
        latest: when the last read began that gave this value, by field.
        older: how often a value was older than one that had been read of the field before.
        hits: reads without a round trip.
    """

    latest: dict[str, dict[int, float]]
    older: int
    reads: int
    hits: int
    failed: int


class Reads:
    """Keeps a log."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[int, float]] = {name: {} for name in _NAMES}
        self._most = dict.fromkeys(_NAMES, 0)
        self._older = self._reads = self.failed = 0

    def read(self, name: str, asked: float, value: int) -> None:
        self._reads += 1
        self._older += value < self._most[name]
        self._most[name] = max(self._most[name], value)
        self._latest[name][value] = asked

    def log(self, trips: int) -> Log:
        return Log(self._latest, self._older, self._reads, max(0, self._reads - trips), self.failed)


def _watch(post: Post, db: RedisBackend) -> Log:
    reads, live, number = Reads(), db.objects(Fields)["1"], 0
    while not post.stopped:
        name, asked = _NAMES[number % 3], time.monotonic()
        number += 1
        try:
            reads.read(name, asked, int(getattr(live, name)))
        except DistObjectsError:
            reads.failed += 1
        post.tick()
    return reads.log(db._runner.trips)


async def _watch_awaited(post: Post, db: AsyncRedisBackend) -> Log:
    reads, live, number = Reads(), db.objects(Fields)["1"], 0
    while not post.stopped:
        name, asked = _NAMES[number % 3], time.monotonic()
        number += 1
        try:
            reads.read(name, asked, int(await getattr(live, name)))
        except DistObjectsError:
            reads.failed += 1
        post.tick()
        if number % 10 == 0:
            await asyncio.sleep(0)
    return reads.log(db._runner.trips)


class Writer:
    """Writes rising values to the fields in turn, directly, and takes note of when each had been acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, list[float]] = {name: [0.0] for name in _NAMES}

    def write(self, raw: redis.Redis) -> None:
        """Write all fields, one after the other, each again until the server says that it has."""
        for name, times in self.acknowledged.items():
            poll(partial(_written, raw, {name: len(times)}))
            times.append(time.monotonic())

    def create(self, raw: redis.Redis) -> None:
        """Write all fields at once, where nothing is."""
        poll(partial(_written, raw, {name: len(times) for name, times in self.acknowledged.items()}))
        for times in self.acknowledged.values():
            times.append(time.monotonic())

    def worst_seconds(self, logs: list[Log]) -> float:
        """Return for how long after an acknowledgement a read began that gave an older value."""
        worst = 0.0
        for log in logs:
            for name, times in self.acknowledged.items():
                for value, asked in log.latest[name].items():
                    if value + 1 < len(times):
                        worst = max(worst, asked - times[value + 1])
        return worst


def _written(raw: redis.Redis, values: Mapping[str, int]) -> bool:
    with suppress(redis.RedisError):
        raw.hset("Fields:1", mapping=dict(values))
        return True
    return False


class Play:
    """What the scene does while the readers read: it is asked for its next move all the time, between their results."""

    def __init__(self, moves: Iterator[None]) -> None:
        self._moves = moves

    def over(self) -> bool:
        return next(self._moves, self) is self


def _judged(stage: Stage, writer: Writer, logs: list[Log], most_seconds: float, note: str) -> Figures:
    worst, older = writer.worst_seconds(logs), sum(log.older for log in logs)
    reads, hits = sum(log.reads for log in logs), sum(log.hits for log in logs)
    writes = sum(len(times) - 1 for times in writer.acknowledged.values())
    assert older == 0, f"{older} of {reads} reads gave an older value than one before"
    assert worst <= most_seconds, f"a read was {worst:.3f} s behind"
    assert hits > reads / 3, f"only {hits} of {reads} reads were hits"
    failed = sum(log.failed for log in logs)
    note = f"{reads:,} reads, {hits / reads:.0%} hits, {failed:,} failed, 0 older; worst {worst * 1000:.0f} ms; {note}"
    return Figures(writes, writes, worst_seconds=worst, note=note)


_WORK = Work(_watch, _watch_awaited)


def _target(port: int) -> Target:
    return Target(port, operation_seconds=_OPERATION_SECONDS, near=_NEAR)


# ---- resets and failover


def near_faults(stage: Stage, size: int) -> Figures:
    """A writer and two readers, whose connections are cut at random; now and then a replica takes over."""
    writer = Writer()
    with ExitStack() as stack:
        place = _Place(stage.server.kind, stack)
        proxy = stack.enter_context(faulty(place))  # type: ignore[arg-type]  # all that it asks for is a port
        proxy.storm = Storm(_RESETS, ["PTTL", "HGET", "PING"], 0.02, chance=random.Random(size))
        moves = _failovers(place, proxy, writer, size)
        logs = stage.run(_WORK, [(), ()], target=_target(proxy.port), until=Play(moves).over)
        note = f"{len(proxy.fired):,} resets, {place.failovers} failovers"
    return _judged(stage, writer, logs, _LEASE_SECONDS + _SLACK_SECONDS, note)


class _Place:
    """A primary and its replica; the proxy asks here for the primary's port."""

    def __init__(self, kind: str, stack: ExitStack) -> None:
        self._kind, self._stack = kind, stack
        self.failovers = 0
        self._primary = stack.enter_context(running(kind))
        self.raw = self._client()
        self.raw.hset("Fields:1", mapping=dict.fromkeys(_NAMES, 0))
        self._replica = self._following()

    @property
    def port(self) -> int:
        return self._primary.port

    def _client(self) -> redis.Redis:
        return self._stack.enter_context(closing(self._primary.client()))

    def _following(self) -> Server:
        """Start a replica, and wait until it has all there is."""
        options = ["--replicaof", f"127.0.0.1 {self.port}", "--repl-diskless-sync-delay", "0"]
        replica = self._stack.enter_context(running(self._kind, *options))
        self.raw.config_set("repl-diskless-sync-delay", 0)
        poll(lambda: self.raw.wait(1, 100) == 1)
        return replica

    def fail_over(self) -> None:
        """Let the replica take over when it has all there is; then the old primary dies, and another replica begins."""
        self.raw.execute_command("FAILOVER", "TO", "127.0.0.1", self._replica.port)
        old = self._primary
        with self._replica.client() as raw:
            poll(lambda: raw.role()[0] == b"master")
        old.process.kill()
        old.process.wait()
        self._primary = self._replica
        self.raw = self._client()
        self._replica = self._following()
        self.failovers += 1


def _failovers(place: _Place, proxy: Proxy, writer: Writer, size: int) -> Iterator[None]:
    for number in range(size):
        for _ in range(20):
            writer.write(place.raw)
            yield
        if number % 50 == 9:
            place.fail_over()
    assert proxy.fired
    assert place.failovers


# ---- silence


@contextmanager
def _frozen_at_will(server: Server) -> Iterator[tuple[int, int]]:
    """Run a proxy in a process of its own; yield its port and its process id."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_relay, args=(server.port, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv(), process.pid or 0
    finally:
        process.kill()
        process.join()


def _relay(port: int, pipe: Connection) -> None:
    class There:
        def __init__(self) -> None:
            self.port = port

    with faulty(There()) as proxy:  # type: ignore[arg-type]
        pipe.send(proxy.port)
        with suppress(EOFError):
            pipe.recv()


def half_open(stage: Stage, size: int) -> Figures:
    """The network falls silent without a word: nothing that is older than the lease is read, and then it goes on."""
    writer = Writer()
    with stage.open(), stage.raw() as raw, _frozen_at_will(stage.server) as (port, process):
        writer.write(raw)
        moves = _silences(process, raw, writer, size, lambda: sum(stage.crew.ticks))
        logs = stage.run(_WORK, [(), ()], target=_target(port), until=Play(moves).over)
    return _judged(stage, writer, logs, _LEASE_SECONDS + _SLACK_SECONDS, f"{size} silences")


def _silences(process: int, raw: redis.Redis, writer: Writer, size: int, ticks: Callable[[], int]) -> Iterator[None]:
    for _ in range(size):
        yield from _while_less(ticks, 20_000)
        os.kill(process, signal.SIGSTOP)
        writer.write(raw)
        yield from _while_less(time.monotonic, 3 * _LEASE_SECONDS)
        os.kill(process, signal.SIGCONT)


def _while_less(count: Callable[[], float], more: float) -> Iterator[None]:
    """Yield until this has grown by so much."""
    first = count()
    while count() < first + more:
        yield


# ---- restarts


def restarts(stage: Stage, size: int) -> Figures:
    """The server is killed and starts again with other values: nothing that was before is read from then on."""
    writer = Writer()
    with ExitStack() as stack:
        server = stack.enter_context(running(stage.server.kind))
        moves = _restarted(stack, server, writer, size, lambda: sum(stage.crew.ticks))
        next(moves)
        logs = stage.run(_WORK, [(), ()], target=_target(server.port), until=Play(moves).over)
    return _judged(stage, writer, logs, 0.0, f"{size} restarts")


def _restarted(stack: ExitStack, server: Server, writer: Writer, size: int, ticks: Callable[[], int]) -> Iterator[None]:
    port = server.port
    for _ in range(size):
        with server.client(unix_socket_path=server.socket) as raw:
            writer.create(raw)
        yield
        yield from _while_less(ticks, 20_000)
        server.process.kill()
        server.process.wait()
        server = stack.enter_context(running(server.kind, "--port", str(port)))
        server = dataclasses.replace(server, port=port)
