"""The near cache: what a hit costs, how fresh it is, and what it costs those who write.
The targets: a hit takes at most 250 ns and 6 x a plain pydantic attribute of the same rounds; a change is seen within
1 ms of the writer's acknowledgement (p99), by an idle reader and by one that spins; writers lose at most 10 %.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
import time
import timeit
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import redis
from pydantic import BaseModel

from distobjects import Near, connect

from . import _server
from ._case import Case, Fact

PINNED = False
"""A reader and a writer on one CPU would wait for each other, and staleness would be the time of that."""


class Point(BaseModel):
    """What is read."""

    n: int = 0


def hit(url: str, rounds: int) -> tuple[float, float]:
    """Return a hit's nanoseconds, and its ratio to a plain pydantic attribute: medians of rounds."""
    with connect(url, near=Near()) as db:
        live, plain = db.objects(Point).put(Point(n=1), id="hit"), Point(n=1)
        taken: list[tuple[float, float]] = []
        for _ in range(rounds):
            ours, theirs = (timeit.timeit("x.n", globals={"x": x}, number=5000) / 5000 * 1e9 for x in (live, plain))
            taken.append((ours, theirs))
    return statistics.median(ours for ours, _ in taken), statistics.median(ours / theirs for ours, theirs in taken)


def _write(port: int, changes: int, results: Connection) -> None:
    """Change an object again and again; tell when each change was acknowledged."""
    client, acknowledged = redis.Redis(port=port), list[float]()
    for value in range(1, changes + 1):
        client.hset("Point:stale", "n", value)
        acknowledged.append(time.monotonic())
        time.sleep(random.uniform(0, 0.001))  # without a pause, each read would find a change, and none would hit
    results.send(acknowledged)


def staleness(server: _server.Server, changes: int, *, spinning: bool) -> list[float]:
    """Return for each change the seconds from its acknowledgement until no read gave an older value, sorted."""
    near_end, far_end = multiprocessing.Pipe()
    with connect(server.url, near=Near()) as db:
        live = db.objects(Point).put(Point(), id="stale")
        last_older = [0.0] * (changes + 1)
        process = multiprocessing.get_context("fork").Process(target=_write, args=(server.port, changes, far_end))
        process.start()
        while True:
            asked = time.monotonic()
            value = live.n
            last_older[min(int(value), changes)] = asked  # this read began then, and gave this value
            if value >= changes:
                break
            if not spinning:
                time.sleep(0.0005)
        acknowledged: list[float] = near_end.recv()
        process.join()
    stale, latest = list[float](), 0.0
    for value in range(changes):  # the change to value + 1; the latest read that gave `value` or less
        latest = max(latest, last_older[value])
        stale.append(max(0.0, latest - acknowledged[value]))
    return sorted(stale)


def _read(url: str, stop: Any) -> None:
    with connect(url, near=Near()) as db:
        objects = db.objects(Point)
        live = [objects.put(Point(), id=str(each)) for each in range(100)]
        while not stop.is_set():
            for each in live:
                _ = each.n
            time.sleep(0.1)


def writers(server: _server.Server, seconds: float, *, cached: bool) -> float:
    """Return how many fields are written a second, beside a process that caches them, or beside none."""
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    process = context.Process(target=_read, args=(server.url, stop))
    if cached:
        process.start()
        time.sleep(0.5)
    client, written, started = redis.Redis(port=server.port), 0, time.monotonic()
    while time.monotonic() < started + seconds:
        for each in range(100):
            client.hset(f"Point:{each}", "n", each)
        written += 100
    rate = written / (time.monotonic() - started)
    if cached:
        stop.set()
        process.join()
    return rate


def at(values: list[float], share: float) -> float:
    """Return the value below which this share of sorted values lies, in microseconds."""
    return values[min(int(len(values) * share), len(values) - 1)] * 1e6


def cases(server: _server.Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Measure a hit, staleness, and a busy writer's loss."""
    changes, seconds = (200, 0.1) if quick else (20_000, 1.0)
    nanoseconds, ratio = hit(server.url, 50)
    yield Fact("a hit", nanoseconds, "ns", target=250)
    yield Fact("a hit, to a plain pydantic attribute", ratio, "x", target=6)
    for spinning in (False, True):
        stale, who = staleness(server, changes, spinning=spinning), "a spinning" if spinning else "an idle"
        yield Fact(f"staleness of {who} reader, p50", at(stale, 0.5), "µs")
        yield Fact(f"staleness of {who} reader, p99", at(stale, 0.99), "µs", target=1000)
        yield Fact(f"staleness of {who} reader, at most", at(stale, 1), "µs")
    pairs = [[writers(server, seconds, cached=cached) for cached in (False, True)] for _ in range(5)]
    share = statistics.median(beside / alone for alone, beside in pairs)
    yield Fact("what a writer loses beside one caching process", (1 - share) * 100, "%", target=10)
