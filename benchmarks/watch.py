"""Watching: what it costs those who write, how soon a change is told, and what a mirror's attribute takes."""

from __future__ import annotations

import multiprocessing
import random
import statistics
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import redis
from pydantic import BaseModel

from distobjects import connect

from ._case import Case, Fact
from ._server import Server

_FORK = multiprocessing.get_context("fork")


class Point(BaseModel):
    """What is watched."""

    n: int = 0
    at: float = 0.0


def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Measure writers beside one process that watches their whole space, and beside none, in turn."""
    shares: list[float] = []
    for _ in range(2 if quick else 9):
        without, beside = (_rate(server, 0.1 if quick else 0.7, watched=watched) for watched in (False, True))
        shares.append(100 * (1 - beside / without))
    low, middle, high = statistics.quantiles(shares, n=4)
    yield Fact("writers lose beside one that watches their space", middle, "%", target=40, spread=(high - low) / 2)
    late = sorted(_late(server, 20 if quick else 5_000))
    for share in (50, 99):
        value = late[min(len(late) * share // 100, len(late) - 1)] * 1000
        yield Fact(f"a change is told, p{share}", value, "ms", target=20 if share == 99 else None)
    with connect(server.url) as db, redis.Redis(port=server.port) as client:
        points = db.objects(Point)
        points.put(Point(n=1), id="mirrored")
        with points.mirror("mirrored") as local:
            yield Case(
                "read an attribute of a mirror",
                ("redis-py hget", lambda: client.hget("Point:mirrored", "n")),
                {"": lambda: local.n},
            )


def _rate(server: Server, seconds: float, *, watched: bool) -> float:
    """Return how many fields are written a second."""
    stop, begun = _FORK.Event(), _FORK.Event()
    process = _FORK.Process(target=_watch, args=(server.url, begun, stop))
    if watched:
        process.start()
        begun.wait()
    with redis.Redis(port=server.port) as client:
        written, started = 0, time.monotonic()
        while time.monotonic() < started + seconds:
            for each in range(100):
                client.hset(f"Point:{each}", "n", written + each)
            written += 100
        rate = written / (time.monotonic() - started)
        if watched:
            stop.set()
            client.hset("Point:stop", "n", 1)
            process.join()
            client.delete("Point:stop")
    return rate


def _watch(url: str, begun: Any, stop: Any) -> None:
    with connect(url) as db:
        points = db.objects(Point)
        points.put(Point(), id="begin")
        for _ in points.watch(initial=True):
            begun.set()
            if stop.is_set():
                break


def _write(port: int, changes: int, pipe: Connection) -> None:
    pipe.recv()
    with redis.Redis(port=port) as client:
        for _ in range(changes):
            client.hset("Point:late", "at", time.monotonic())
            time.sleep(random.uniform(0, 0.004))
        client.delete("Point:late")


def _late(server: Server, changes: int) -> list[float]:
    """Return how many seconds after it was sent each change was told to another process, 500 a second."""
    near, far = multiprocessing.Pipe()
    process = _FORK.Process(target=_write, args=(server.port, changes, far))
    process.start()
    late: list[float] = []
    with connect(server.url) as db:
        for change in db.objects(Point).watch("late", initial=True):
            if change.after is not None:
                late.append(time.monotonic() - change.after.at)
            elif late:
                break
            else:
                near.send(True)
    process.join()
    return late
