"""Hundreds of tasks on one event loop: each has its own reply, however many are cancelled, over one connection."""

from __future__ import annotations

import asyncio
import random
import resource
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from distobjects import AsyncRedisBackend, F, RedisBackend
from tests.stress.crew import Post
from tests.stress.figures import Figures
from tests.stress.stage import Stage, Work, shares

OBJECTS = 100
_WAVE = 200  # reads at once, nine of ten of which are cancelled
_TASKS, _PROCESSES = 500, 4
_MOST_GROWTH = 4_000_000  # bytes; half of it is what Python's allocator may need for nothing


class Numbered(BaseModel):
    """An object whose fields tell which one it is."""

    n: int
    text: str


N = F(Numbered)


class Seen(NamedTuple):
    """What one worker has seen."""

    answered: int
    cancelled: int
    wrong: int
    connections: int
    growth: int


def _never(post: Post, db: RedisBackend, times: int) -> Seen:
    raise AssertionError("threads have no tasks")


def _connections(db: AsyncRedisBackend) -> int:
    pool = db.client.connection_pool
    return len(pool._available_connections) + len(pool._in_use_connections)


def _memory() -> int:
    """Return how many bytes this process has in memory, now where the system tells, else at its peak."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def _cancel(post: Post, db: AsyncRedisBackend, times: int) -> Seen:
    """Read in waves and cancel most of each, somewhere between asking and having the reply."""
    chance, numbered = random.Random(post.index), db.objects(Numbered)
    answered = cancelled = wrong = 0
    while cancelled < times and not post.stopped:
        numbers = [chance.randrange(OBJECTS) for _ in range(_WAVE)]
        wave = [
            asyncio.ensure_future(
                numbered.read(str(n), N.n) if place % 2 else numbered[str(n)].n  # both ways to ask
            )
            for place, n in enumerate(numbers)
        ]
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)
        for task in wave:
            if chance.random() < 0.9:
                task.cancel()
        for n, value in zip(numbers, await asyncio.gather(*wave, return_exceptions=True), strict=True):
            if isinstance(value, asyncio.CancelledError):
                cancelled += 1
                post.tick()
            elif isinstance(value, BaseException):
                raise value
            else:
                answered += 1
                wrong += value != n
    return Seen(answered, cancelled, wrong, _connections(db), 0)


async def _crowd(post: Post, db: AsyncRedisBackend, times: int) -> Seen:
    """Let all tasks read, and write now and then, until each has done its share; look at the memory on the way."""
    numbered, wrong, before = db.objects(Numbered), 0, 0

    async def use(task: int, share: int) -> int:
        n, wrong = task % OBJECTS, 0
        for each in range(share):
            if each % 16 == 15:
                await numbered.update(str(n), {"text": f"{n}"})
            wrong += await numbered.read(str(n), N.n) != n or await numbered[str(n)].text != f"{n}"
            post.tick()
        return wrong

    for part in range(4):
        wrong += sum(await asyncio.gather(*(use(task, -(-times // _TASKS // 4)) for task in range(_TASKS))))
        before = before if part else _memory()  # once all is there that is needed
    return Seen(times, 0, wrong, _connections(db), _memory() - before)


def cancellations(stage: Stage, size: int) -> Figures:
    """Cancel this many reads, among others that are not."""
    with stage.open() as db:
        db.objects(Numbered).put_many({str(n): Numbered(n=n, text=f"{n}") for n in range(OBJECTS)})
        with stage.raw() as raw:
            before = len(raw.client_list())
            seen: list[Seen] = stage.run(Work(_never, _cancel), [(each,) for each in shares(size, stage.crew.size)])
            after = len(raw.client_list())
    cancelled, answered = sum(each.cancelled for each in seen), sum(each.answered for each in seen)
    assert cancelled >= size
    assert answered
    _see(seen)
    assert after <= before, "every connection has been closed"
    return Figures(answered, OBJECTS, note=f"{cancelled:,} cancelled, 0 wrong, a connection each")


def crowd(stage: Stage, size: int) -> Figures:
    """500 tasks in each of 4 processes do this much in all."""
    processes = min(_PROCESSES, stage.crew.size)
    with stage.open() as db:
        db.objects(Numbered).put_many({str(n): Numbered(n=n, text=f"{n}") for n in range(OBJECTS)})
        seen: list[Seen] = stage.run(Work(_never, _crowd), [(each,) for each in shares(size, processes)])
    _see(seen)
    growth = max(each.growth for each in seen)
    assert growth < _MOST_GROWTH
    note = f"{processes} x {_TASKS} tasks, 0 wrong, a connection each, {growth / 1e6:.1f} MB more at most"
    return Figures(sum(each.answered for each in seen), OBJECTS, note=note)


def _see(seen: list[Seen]) -> None:
    assert sum(each.wrong for each in seen) == 0, "each has its own reply"
    assert {each.connections for each in seen} == {1}
