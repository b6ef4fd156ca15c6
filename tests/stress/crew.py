"""Worker processes that do a job at the same time, each over a connection of its own.

They are started once, for all the jobs to come: importing takes a process longer than most jobs.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import redis
import redis.asyncio

from distobjects import AsyncRedisBackend, Near, RedisBackend, connect, connect_async
from tests.stress.figures import Tally

_SPAWN = multiprocessing.get_context("spawn")
_LOOK_SECONDS = 0.01


class Post(NamedTuple):
    """Where a worker stands among the others; `ticks` and `stop` are memory that all of them share."""

    index: int
    ticks: Any
    stop: Any

    def tick(self) -> None:
        """Tell the others, and who watches, that one more is done."""
        self.ticks[self.index] += 1

    @property
    def stopped(self) -> bool:
        """Whether to come to an end: somebody failed, or it has been enough."""
        return bool(self.stop.value)


class Target(NamedTuple):
    """How a worker connects.

    Attributes:
        handed: through redis-py's client as it comes, its retries on.
        near: with a near cache.
    """

    port: int
    handed: bool = False
    operation_seconds: float = 5.0
    near: Near | None = None


class Job(NamedTuple):
    """A function of a post, a backend and `args`; a coroutine function for the asyncio backend."""

    work: Callable[..., Any]
    target: Target
    args: tuple[Any, ...]


class Crew:
    """Processes that wait for jobs."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._ticks = _SPAWN.RawArray(ctypes.c_longlong, size)
        self._stop = _SPAWN.RawValue(ctypes.c_bool, False)
        self._members: list[tuple[Any, Connection]] = []
        for index in range(size):
            ours, theirs = _SPAWN.Pipe()
            post = Post(index, self._ticks, self._stop)
            process = _SPAWN.Process(target=_serve, args=(post, theirs), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))

    @property
    def ticks(self) -> list[int]:
        """How many times each worker has ticked in this run."""
        return list(self._ticks)

    def run(
        self,
        jobs: Sequence[Job],
        *,
        until: Callable[[], bool] = lambda: False,
        watch: Callable[[int], None] = lambda ticks: None,
        most_seconds: float,
    ) -> list[Any]:
        """Do all jobs at the same time, one process each, and return what they return.

        Args:
            until: stops the workers that wait to be stopped.
            watch: is told now and then how many ticks there have been.

        Raises:
            RuntimeError: a job has failed.
            TimeoutError: it took too long; the crew is of no use any more.
        """
        self._ticks[:] = [0] * self.size
        self._stop.value = False
        at_work = {pipe: index for index, (_, pipe) in enumerate(self._members[: len(jobs)])}
        for (_, pipe), job in zip(self._members, jobs, strict=False):
            pipe.send(job)
        for pipe in at_work:  # each has imported what it needs: nobody is done before the last one begins
            pipe.recv()
        for pipe in at_work:
            pipe.send(True)
        results: list[Any] = [None] * len(jobs)
        failures: list[str] = []
        deadline = time.monotonic() + most_seconds
        while at_work:
            for pipe in wait(list(at_work), _LOOK_SECONDS):
                assert isinstance(pipe, Connection)
                failed, result = pipe.recv()
                results[at_work.pop(pipe)] = result
                failures += [result] if failed else []
            if failures or until():
                self._stop.value = True
            if time.monotonic() > deadline:
                self.close()
                raise TimeoutError(f"{len(at_work)} of {len(jobs)} workers were not done after {most_seconds} s")
            watch(sum(self._ticks))
        if failures:
            raise RuntimeError("a worker failed:\n" + "\n".join(failures))
        return results

    def close(self) -> None:
        """End all processes, also one that hangs."""
        for process, pipe in self._members:
            process.terminate()
            pipe.close()
        for process, _ in self._members:
            process.join()


def _serve(post: Post, pipe: Connection) -> None:
    """Do one job after the other, until the other end of the pipe is closed."""
    while True:
        try:
            job: Job = pipe.recv()
            pipe.send(True)
            pipe.recv()
        except EOFError:
            return
        try:
            outcome: tuple[bool, Any] = False, _done(post, job)
        except Exception:  # noqa: BLE001  # not carried on from: the other end raises it
            outcome = True, f"[worker {post.index}] {traceback.format_exc()}"
        pipe.send(outcome)


def _done(post: Post, job: Job) -> Any:
    if inspect.iscoroutinefunction(job.work):
        return asyncio.run(_awaited(post, job))
    with _opened(job.target) as db:
        result = job.work(post, db, *job.args)
        return _with_trips(result, db)


async def _awaited(post: Post, job: Job) -> Any:
    target = job.target
    if not target.handed:
        seconds = target.operation_seconds
        async with connect_async(_url(target), operation_seconds=seconds, near=target.near) as db:
            return _with_trips(await job.work(post, db, *job.args), db)
    async with redis.asyncio.Redis(port=target.port, socket_timeout=target.operation_seconds) as client:
        db = AsyncRedisBackend(client=client)
        return _with_trips(await job.work(post, db, *job.args), db)


@contextmanager
def _opened(target: Target) -> Iterator[RedisBackend]:
    if not target.handed:
        with connect(_url(target), operation_seconds=target.operation_seconds, near=target.near) as db:
            yield db
        return
    with closing(redis.Redis(port=target.port, socket_timeout=target.operation_seconds)) as client:
        yield RedisBackend(client=client)


def _url(target: Target) -> str:
    return f"redis://127.0.0.1:{target.port}/0"


def _with_trips(result: Any, db: RedisBackend | AsyncRedisBackend) -> Any:
    if isinstance(result, Tally):
        result.trips = db._runner.trips
    return result
