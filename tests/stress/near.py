"""Reads from the near cache while everything changes: own writes are seen, nothing stays stale, the bounds hold."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import redis
from pydantic import BaseModel

from distobjects import AsyncRedisBackend, F, Near, RedisBackend
from tests.stress.crew import Post, Target
from tests.stress.figures import Figures
from tests.stress.stage import Stage, Work

_AT_ONCE = 4  # threads or tasks of one process, on one backend
_IDS = [str(number) for number in range(8)]
_TIMES = 10  # how often an object is written in a burst
_FRESH_SECONDS = 5  # what is older for so long will stay so for ever


class Quartet(BaseModel):
    """A field for each thread, and one for others."""

    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    e: int = 0


Q = F(Quartet)
_NAMES = list(Quartet.model_fields)


class Seen(NamedTuple):
    """What one thread has counted."""

    operations: int = 0
    writes: int = 0
    own_violations: int = 0
    older: int = 0


class Checked:
    """One thread's memory of what it has written and seen."""

    def __init__(self, at: int, operations: int) -> None:
        self.chance = random.Random(at)
        self.own = _NAMES[at]
        self.operations = operations
        self.writes = self.own_violations = self.older = 0
        self._most: dict[tuple[str, str], int] = {}

    def step(self) -> tuple[str, str, int | None]:
        """Return an id, a field, and what to write there or None to read it."""
        id = self.chance.choice(_IDS)
        if self.chance.random() >= 0.1:
            return id, self.own if self.chance.random() < 0.5 else self.chance.choice(_NAMES), None
        self.writes += 1
        return id, self.own, self._most.get((id, self.own), 0) + 1

    def wrote(self, id: str, name: str, value: int) -> None:
        self._most[id, name] = value

    def read(self, id: str, name: str, value: int) -> None:
        most = self._most.get((id, name), 0)
        if name == self.own:
            self.own_violations += value != most
        elif value < most:
            self.older += 1
        else:
            self._most[id, name] = value

    def seen(self) -> Seen:
        return Seen(self.operations, self.writes, self.own_violations, self.older)


def _at_once(work: Callable[[int], Any]) -> list[Any]:
    # Each wait for a reply gives the interpreter away; nobody who needs none is to keep it for 5 ms each time.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    try:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(work, range(_AT_ONCE)))
    finally:
        sys.setswitchinterval(interval)


def _use(db: RedisBackend, operations: int, at: int) -> Seen:
    checked, objects = Checked(at, operations), db.objects(Quartet)
    live: dict[str, Any] = {id: objects[id] for id in _IDS}
    for _ in range(operations):
        id, name, value = checked.step()
        if value is None:
            checked.read(id, name, getattr(live[id], name))
        else:
            setattr(live[id], name, value)
            checked.wrote(id, name, value)
    return checked.seen()


def _threads(post: Post, db: RedisBackend, size: int) -> list[Seen]:
    seen = _at_once(partial(_use, db, size // _AT_ONCE))
    post.tick()
    return seen


async def _use_awaited(db: AsyncRedisBackend, operations: int, at: int) -> Seen:
    checked, objects = Checked(at, operations), db.objects(Quartet)
    live: dict[str, Any] = {id: objects[id] for id in _IDS}
    for number in range(operations):
        if number % 10 == 0:
            await asyncio.sleep(0)  # a hit gives no other task its turn
        id, name, value = checked.step()
        if value is None:
            checked.read(id, name, int(await getattr(live[id], name)))
        else:
            await objects.update(id, {name: value})
            checked.wrote(id, name, value)
    return checked.seen()


async def _tasks(post: Post, db: AsyncRedisBackend, size: int) -> list[Seen]:
    seen = await asyncio.gather(*(_use_awaited(db, size // _AT_ONCE, at) for at in range(_AT_ONCE)))
    post.tick()
    return seen


def _disturb(post: Post, db: RedisBackend, port: int) -> int:
    """Write a field that is nobody's, as another program does, until the others are done."""
    chance, written = random.Random(1), 0
    with redis.Redis(port=port) as raw:
        while not post.stopped:
            written += 1
            raw.hset(f"Quartet:{chance.choice(_IDS)}", "e", written)
            time.sleep(0.001)  # or nothing would ever be read from memory
    return written


async def _disturb_awaited(post: Post, db: AsyncRedisBackend, port: int) -> int:
    return await asyncio.to_thread(_disturb, post, db, port)  # type: ignore[arg-type]  # it uses none


def own_writes(stage: Stage, size: int) -> Figures:
    """Four threads write fields of the same objects and read them, while another process writes there too."""
    with stage.open() as db:
        db.objects(Quartet).put_many({id: Quartet() for id in _IDS})
        work = [Work(_threads, _tasks), Work(_disturb, _disturb_awaited)]
        target = Target(stage.server.port, near=Near())
        seen, foreign = stage.run(
            work, [(size,), (stage.server.port,)], target=target, until=lambda: stage.crew.ticks[0] > 0
        )
    assert sum(each.own_violations for each in seen) == 0
    assert sum(each.older for each in seen) == 0
    writes, operations = sum(each.writes for each in seen), sum(each.operations for each in seen)
    return Figures(writes, writes, note=f"{operations:,} operations, {foreign:,} foreign writes, 0 violations")


# ---- bursts


class Point(BaseModel):
    """What bursts of writes hit."""

    n: int = 0


P = F(Point)


class Worst:
    """How long the unluckiest read stayed behind, how many reads there were, and what stayed stale."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.reads = 0
        self.stale: list[str] = []
        self._written = 0.0

    def begin(self) -> None:
        self._written = time.monotonic()

    def behind(self, burst: int, found: int) -> bool:
        """Say whether to wait for what was written last."""
        elapsed = time.monotonic() - self._written
        if found >= _last(burst):
            self.seconds = max(self.seconds, elapsed)
            return False
        if elapsed > _FRESH_SECONDS:
            self.stale.append(f"burst {burst}: still {found}")
            return False
        return True


def _last(burst: int) -> int:
    return (burst + 1) * _TIMES


def _key(burst: int) -> str:
    return str(burst % 100)


def _follow(post: Post, db: RedisBackend, size: int, lock: threading.Lock, at: int) -> Worst:
    worst, objects = Worst(), db.objects(Point)
    for burst in range(size):
        live: Any = objects[_key(burst)]
        while post.ticks[1] <= burst:  # the other process is writing
            live.n
            worst.reads += 1
            time.sleep(0)  # who fetches is not to wait for those who spin
        worst.begin()
        while worst.behind(burst, live.n):
            pass
        with lock:
            post.tick()
    return worst


def _followed(post: Post, db: RedisBackend, size: int) -> list[Worst]:
    return _at_once(partial(_follow, post, db, size, threading.Lock()))


async def _follow_awaited(post: Post, db: AsyncRedisBackend, size: int) -> Worst:
    worst, objects = Worst(), db.objects(Point)
    for burst in range(size):
        while post.ticks[1] <= burst:
            await objects.read(_key(burst), P.n)
            worst.reads += 1
            await asyncio.sleep(0)
        worst.begin()
        while worst.behind(burst, await objects.read(_key(burst), P.n)):  # noqa: ASYNC110  # it happens in another process
            await asyncio.sleep(0)
        post.tick()
    return worst


async def _followed_awaited(post: Post, db: AsyncRedisBackend, size: int) -> list[Worst]:
    return await asyncio.gather(*(_follow_awaited(post, db, size) for _ in range(_AT_ONCE)))


def _burst(post: Post, db: RedisBackend, size: int, port: int) -> None:
    with redis.Redis(port=port) as raw:
        for burst in range(size):
            while post.ticks[0] < burst * _AT_ONCE and not post.stopped:
                time.sleep(0)
            for value in range(burst * _TIMES + 1, _last(burst) + 1):
                raw.hset(f"Point:{_key(burst)}", "n", value)
            post.tick()


async def _burst_awaited(post: Post, db: AsyncRedisBackend, size: int, port: int) -> None:
    await asyncio.to_thread(_burst, post, db, size, port)  # type: ignore[arg-type]  # it uses none


def bursts(stage: Stage, size: int) -> Figures:
    """Four threads fetch an object while another process writes it ten times: then it is what was written last."""
    with stage.open() as db:
        db.objects(Point).put_many({_key(number): Point() for number in range(100)})
        work = [Work(_followed, _followed_awaited), Work(_burst, _burst_awaited)]
        target = Target(stage.server.port, near=Near())
        worst, _ = stage.run(work, [(size,), (size, stage.server.port)], target=target)
    assert [stale for each in worst for stale in each.stale] == []
    return Figures(
        size * _TIMES,
        size * _TIMES,
        worst_seconds=max(each.seconds for each in worst),
        note=f"{size:,} bursts, {sum(each.reads for each in worst):,} reads meanwhile, none stale for ever",
    )


# ---- memory

_CHUNK = 10_000
_EACH = "for n = ARGV[1], ARGV[2] - 1 do local key = KEYS[1] .. string.format('%d', n) "
_FILL = _EACH + "redis.call('HSET', key, 'n', n, 'text', ARGV[3]) end"
_DELETE = _EACH + "redis.call('UNLINK', key) end"
_NEAR = Near(max_objects=20_000, max_bytes=16 * 2**20)


class Note(BaseModel):
    """Many are read."""

    n: int = 0
    text: str = ""


N = F(Note)


class Sizes(NamedTuple):
    """What has been measured after a chunk."""

    resident: int
    objects: int
    bytes: int


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _chunks(size: int, port: int) -> Iterator[range]:
    """Yield ids, chunk by chunk; the first half of the objects is small, so that their number is what is bounded."""
    with redis.Redis(port=port) as raw:
        for first in range(0, size, _CHUNK):
            text = "x" * (20 if first < size // 2 else 1000)
            last = min(first + _CHUNK, size)
            raw.eval(_FILL, 1, "Note:", first, last, text)
            yield range(first, last)
            raw.eval(_DELETE, 1, "Note:", first - 2 * _CHUNK, first - _CHUNK)  # nobody keeps these any more


def _sizes(cache: Any) -> Sizes:
    assert len(cache) <= _NEAR.max_objects
    assert cache.bytes <= _NEAR.max_bytes
    [table] = cache._tables
    assert len(table.entries) <= len(cache)
    assert all(len(values) <= len(cache) for values in table.shared.values())
    return Sizes(_resident(), len(cache), cache.bytes)


def _read_all(post: Post, db: RedisBackend, size: int, port: int) -> list[Sizes]:
    objects, sizes = db.objects(Note), list[Sizes]()
    for chunk in _chunks(size, port):
        for each in chunk:
            live: Any = objects[str(each)]
            assert live.n == each
            live.text
            post.tick()
        assert db._runner.near
        sizes.append(_sizes(db._runner.near.cache))
    return sizes


async def _read_all_awaited(post: Post, db: AsyncRedisBackend, size: int, port: int) -> list[Sizes]:
    objects, sizes = db.objects(Note), list[Sizes]()
    for chunk in _chunks(size, port):
        for each in chunk:
            assert await objects.read(str(each), N.n) == each
            post.tick()
        sizes.append(_sizes(db._runner._link().cache))
    return sizes


def near_memory(stage: Stage, size: int) -> Figures:
    """One process reads so many objects once: neither they nor the memory that they take exceed what is allowed."""
    with stage.open():
        target = Target(stage.server.port, near=_NEAR)
        [sizes] = stage.run(Work(_read_all, _read_all_awaited), [(size, stage.server.port)], target=target)
    small, large = sizes[: len(sizes) // 2], sizes[len(sizes) // 2 :]
    note = (
        f"{size:,} objects; at most {max(each.objects for each in small):,} small or {large[-1].objects:,} large kept"
    )
    for part in (small, large):
        note += f", resident {part[0].resident >> 20} -> {part[-1].resident >> 20} MB"
    assert sizes[-1].resident < sizes[0].resident + 3 * _NEAR.max_bytes
    return Figures(size, size, note=note)
