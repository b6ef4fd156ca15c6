"""Watching while others change, delete and let expire what is watched: the last state of each object is told."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis
from pydantic import BaseModel

from distobjects import AsyncRedisBackend, Change, RedisBackend
from tests.stress.crew import Post
from tests.stress.figures import Figures
from tests.stress.stage import Stage, Work, shares

_WRITERS = 3
_IDS = [str(number) for number in range(500)]
_LAST = "last"


class Reading(BaseModel):
    """What is changed."""

    value: int = 0
    at: float = 0.0
    """When it was sent to the server, by the clock that all processes share."""


class Told(NamedTuple):
    """What a watcher was told.

    Attributes:
        late_seconds: of each state that was told, from when it was sent, sorted.
        grown_bytes: how much more memory than at the beginning the process took at most.
    """

    changes: int
    final: dict[str, int]
    late_seconds: list[float]
    grown_bytes: int


class Account:
    """Takes note of what a watcher is told."""

    def __init__(self) -> None:
        self.final: dict[str, int] = {}
        self.late: list[float] = []
        self.changes = 0
        self.ended = 0
        self._before = self._most = _memory()

    def take(self, change: Change[Reading]) -> bool:
        """Say whether this is the end of all writers, which is to be answered with the last object."""
        now = time.monotonic()
        if change.id.startswith("end"):
            self.ended += 1
            return self.ended == _WRITERS
        self.changes += 1
        if self.changes % 100 == 0:
            self._most = max(self._most, _memory())
        if change.after is None:
            self.final.pop(change.id, None)
        else:
            self.final[change.id] = change.after.value
            self.late.append(now - change.after.at)
        return False

    def told(self) -> Told:
        return Told(self.changes, self.final, sorted(self.late), self._most - self._before)


def _memory() -> int:
    """Return how much memory this process takes now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _watch(post: Post, db: RedisBackend, pause_seconds: float) -> Told:
    objects, account = db.objects(Reading), Account()
    for change in objects.watch(initial=True):
        if change.id == _LAST:
            break
        if change.id == "begin":
            objects.put(Reading(), id="begun")
        elif change.id != "begun" and account.take(change):
            objects.put(Reading(), id=_LAST)
        post.tick()
        if pause_seconds:
            time.sleep(pause_seconds)
    return account.told()


async def _watch_awaited(post: Post, db: AsyncRedisBackend, pause_seconds: float) -> Told:
    objects, account = db.objects(Reading), Account()
    async for change in objects.watch(initial=True):
        if change.id == _LAST:
            break
        if change.id == "begin":
            await objects.put(Reading(), id="begun")
        elif change.id != "begun" and account.take(change):
            await objects.put(Reading(), id=_LAST)
        post.tick()
        if pause_seconds:
            time.sleep(pause_seconds)  # noqa: ASYNC251  # a consumer that blocks its loop is the slowest of all
    return account.told()


@contextmanager
def _foreign(port: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=port) as client:
        while not client.exists("Reading:begun"):
            time.sleep(0.001)
        yield client


def _write(post: Post, db: Any, port: int, changes: int) -> None:
    """Change at random, as a program would that knows nothing of this library."""
    chance = random.Random(post.index)
    with _foreign(port) as client:
        for number in range(changes):
            key, kind = f"Reading:{chance.choice(_IDS)}", chance.random()
            if kind < 0.1:
                client.delete(key)
            elif kind < 0.2:
                client.pexpire(key, chance.randint(1, 50))
            else:
                client.hset(key, mapping={"value": number * _WRITERS + post.index, "at": time.monotonic()})
            post.tick()
        for id in _IDS:
            while client.pttl(f"Reading:{id}") >= 0:
                time.sleep(0.001)
        client.hset(f"Reading:end{post.index}", "value", 1)


async def _write_awaited(post: Post, db: Any, port: int, changes: int) -> None:
    _write(post, db, port, changes)


def watch(stage: Stage, size: int) -> Figures:
    """Three processes change 500 objects, one watches: its last states are what is stored."""
    return _watched(stage, size, 0.0)


def slow_watch(stage: Stage, size: int) -> Figures:
    """The same, with a watcher that takes a hundred times as long for each change: its memory does not grow."""
    return _watched(stage, size, 0.01)


def _watched(stage: Stage, size: int, pause_seconds: float) -> Figures:
    with stage.open() as db:
        objects = db.objects(Reading)
        objects.put(Reading(), id="begin")
        work = [Work(_watch, _watch_awaited)] + [Work(_write, _write_awaited)] * _WRITERS
        parts = [(stage.server.port, each) for each in shares(size, _WRITERS)]
        told: Told = stage.run(work, [(pause_seconds,), *parts])[0]
        ids = [*_IDS]
        stored = {id: each.value for id, each in zip(ids, objects.get_many(ids), strict=True) if each is not None}
    assert told.final == stored
    assert told.changes > 0
    if pause_seconds:
        assert told.grown_bytes < 20 * 2**20
    p50, p99 = (told.late_seconds[int(len(told.late_seconds) * share)] * 1000 for share in (0.5, 0.99))
    note = f"told {told.changes:,}; p50 {p50:.1f}, p99 {p99:.1f} ms late; {told.grown_bytes / 2**20:.1f} MB more memory"
    return Figures(size, len(stored), worst_seconds=told.late_seconds[-1], note=note)
