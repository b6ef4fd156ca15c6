"""Reads and writes of one field by many processes, threads and tasks: their history is linearizable.

Clocks are compared between processes: `time.monotonic_ns` counts for the whole system.
"""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from pydantic import BaseModel

from distobjects import AsyncFieldHandle, AsyncRedisBackend, F, OutcomeUnknown, RedisBackend, StoreUnavailable
from tests.fix_faults import Storm, faulty
from tests.lincheck import NEVER, Operation, violations
from tests.stress.crew import Post, Target
from tests.stress.faults import ALL_FAULTS, COMMANDS, LATE_SECONDS, OPERATION_SECONDS
from tests.stress.figures import Figures
from tests.stress.stage import Stage, Work, shares

_AT_ONCE = 3  # threads or tasks of each process, on one backend
_READ, _WRITTEN, _UNKNOWN = range(3)


class Register(BaseModel):
    """One field, and another beside it."""

    value: int = 0
    other: str = ""


R = F(Register)


@dataclass
class Record:
    """What one thread or task has done: start, end, kind, value; and so on. Flat, for there are a million."""

    cells: array[int] = field(default_factory=lambda: array("q"))
    failed: int = 0
    value: int = 0

    @contextmanager
    def step(self, write: int | None) -> Iterator[None]:
        """Note one operation. A failed read tells nothing; a write that failed otherwise has never happened."""
        started, kind = time.monotonic_ns(), _READ if write is None else _WRITTEN
        try:
            yield
        except OutcomeUnknown:
            kind = _UNKNOWN
        except StoreUnavailable:
            self.failed += 1
            return
        self.cells.extend((started, time.monotonic_ns(), kind, self.value if write is None else write))


def _values(post: Post, at: int, times: int) -> Iterator[int | None]:
    """Yield what to do: a value to write, unlike any other, or None to read."""
    chance = random.Random(f"{post.index} {at}")
    first = (post.index * _AT_ONCE + at) * times + 1
    for number in range(times):
        post.tick()
        yield first + number if chance.random() < 0.5 else None


def _use(post: Post, register: Register, times: int, at: int) -> Record:
    record = Record()
    for write in _values(post, at, times):
        with record.step(write):
            if write is None:
                record.value = int(register.value)
            else:
                register.value = write
    return record


def _threads(post: Post, db: RedisBackend, times: int) -> list[Record]:
    register = db.objects(Register)["1"]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(partial(_use, post, register, times), range(_AT_ONCE)))


async def _use_awaited(post: Post, value: AsyncFieldHandle[int], times: int, at: int) -> Record:
    record = Record()
    for write in _values(post, at, times):
        with record.step(write):
            if write is None:
                record.value = await value.get()
            else:
                await value.set(write)
    return record


async def _tasks(post: Post, db: AsyncRedisBackend, times: int) -> list[Record]:
    value = db.objects(Register).field("1", R.value)
    return await asyncio.gather(*(_use_awaited(post, value, times, at) for at in range(_AT_ONCE)))


def histories(stage: Stage, size: int) -> Figures:
    """Half reads, half writes, undisturbed."""
    return _played(stage, size, storm=None)


def fault_histories(stage: Stage, size: int) -> Figures:
    """The same under faults."""
    return _played(stage, size, storm=Storm(ALL_FAULTS, COMMANDS, 0.03, LATE_SECONDS, random.Random(size)))


def _played(stage: Stage, size: int, *, storm: Storm | None) -> Figures:
    parts = [(each,) for each in shares(size, stage.crew.size * _AT_ONCE)[: stage.crew.size]]
    with stage.open() as db:
        db.objects(Register).create(Register(), id="1")
        with faulty(stage.server) if storm else nullcontext() as proxy:
            target = None
            if proxy and storm:
                proxy.storm, target = storm, Target(proxy.port, operation_seconds=OPERATION_SECONDS)
            results = stage.run(Work(_threads, _tasks), parts, target=target)
    records = [record for result in results for record in result]
    history = [operation for record in records for operation in _operations(record)]
    assert violations(history, 0) == []
    unknown = sum(operation.end == NEVER for operation in history)
    writes = sum(operation.writes for operation in history)
    note = f"{len(history):,} operations, 0 violations"
    if proxy:
        note += f"; {len(proxy.fired):,} faults, {sum(record.failed for record in records):,} never left or not read"
        assert unknown
    else:
        assert len(history) >= size
    return Figures(writes - unknown, writes - unknown, unknown, note=note)


def _operations(record: Record) -> Iterator[Operation]:
    cells = iter(record.cells)
    for start, end, kind, value in zip(cells, cells, cells, cells, strict=True):
        yield Operation(start, NEVER if kind == _UNKNOWN else end, kind != _READ, value)
