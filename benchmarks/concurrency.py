"""Many tasks of one event loop that read a field each, against `redis.asyncio` with as many (bytes, no validation)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import redis.asyncio
from pydantic import BaseModel

from distobjects import F, connect_async

from ._case import Call, Case, Fact
from ._server import Server

# What is wanted, and what more would be: by the number of tasks.
TARGETS: dict[int, tuple[float | None, float | None]] = {1: (0.45, 0.30), 10: (0.12, 0.08), 100: (0.06, 0.035)}
READS, QUICK_READS = 2_000, 100


class Point(BaseModel):
    """What is read."""

    n: int = 0


def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Read with 1 to 500 tasks, over one event loop that stays."""
    with asyncio.Runner() as loop:
        # Our client has as many connections as theirs may open: one for each task.
        client = redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool(host="127.0.0.1", port=server.port, max_connections=500, timeout=20)
        )
        ours = connect_async(server.url)
        points = ours.objects(Point)
        loop.run(points.put(Point(n=1), id="1"))
        live, n = points["1"], F(Point).n
        for tasks in (1, 10, 100, 500):
            target, stretch = TARGETS.get(tasks, (None, None))
            each = max(1, (QUICK_READS if quick else READS) // tasks)

            async def theirs() -> object:
                return await client.hget("Point:1", "n")  # type: ignore[misc]  # redis-py's type says either colour

            yield Case(
                "await read",
                ("redis.asyncio hget", reading(loop, theirs, tasks, each)),
                {
                    "read(id, F(Point).n)": reading(loop, lambda: points.read("1", n), tasks, each),
                    "live.n": reading(loop, lambda: live.n, tasks, each),
                },
                target=target,
                stretch=stretch,
                calls=1,
                work=each * tasks,
                at=tasks,
                axis="tasks",
            )
        loop.run(ours.close())
        loop.run(client.aclose())


def reading(loop: asyncio.Runner, read: Callable[[], Awaitable[object]], tasks: int, each: int) -> Call:
    """Return a call by which this many tasks read as often each, and wait for each reply before the next."""

    async def one() -> None:
        for _ in range(each):
            await read()

    async def all_() -> None:
        await asyncio.gather(*(one() for _ in range(tasks)))

    return lambda: loop.run(all_())
