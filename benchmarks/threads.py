"""Threads that read one attribute, against as many that share redis-py's client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import redis
from pydantic import BaseModel

from distobjects import connect

from ._case import Call, Case, Fact
from ._server import Server

_READS = 1600  # in a call, of all threads together: waking sixteen threads is then little beside it


class Student(BaseModel):
    """What is read."""

    age: int = 0


def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Read with more and more threads, which live as long as the comparison."""
    reads = _READS // 10 if quick else _READS
    with redis.Redis(port=server.port) as client, connect(server.url) as db:
        student = db.objects(Student).put(Student(age=12), id="1")
        for count in (1, 2, 4, 8, 16):
            with ThreadPoolExecutor(count) as threads:
                yield Case(
                    "read",
                    ("redis-py hget", _by(threads, count, lambda: client.hget("Student:1", "age"), reads)),
                    {"": _by(threads, count, lambda: student.age, reads)},
                    target=0.52,
                    stretch=0.46,
                    calls=1,
                    work=reads,
                    at=count,
                    axis="threads",
                )


def _by(threads: ThreadPoolExecutor, count: int, read: Call, reads: int) -> Call:
    """Return a call that has every thread do its share of the reads."""
    here = threading.Barrier(count)  # else a thread that is fast would do the share of another

    def share() -> None:
        here.wait()
        for _ in range(reads // count):
            read()

    def call() -> None:
        for done in [threads.submit(share) for _ in range(count)]:
            done.result()

    return call
