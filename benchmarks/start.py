"""What it costs to begin: the import, a connection, and what a live object holds."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator

import redis
from pydantic import BaseModel

from distobjects import connect

from ._case import Case, Fact
from ._server import Server


class Student(BaseModel):
    """What is read."""

    age: int = 0


def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Measure in new processes what happens once, and here what happens for each object."""
    yield _imported(2 if quick else 15)
    with redis.Redis(port=server.port) as client:
        client.hset("Student:1", "age", 12)
        yield Case(
            "a new process reads one attribute",
            ("redis-py hget", lambda: _run(f"import redis; redis.Redis(port={server.port}).hget('Student:1', 'age')")),
            {
                "": lambda: _run(
                    "from pydantic import BaseModel; from distobjects import connect\n"
                    "class Student(BaseModel): age: int = 0\n"
                    f"connect({server.url!r}).objects(Student)['1'].age"
                )
            },
            calls=1,
        )

        def theirs() -> None:
            with redis.Redis(port=server.port) as new:
                new.hget("Student:1", "age")

        def ours() -> None:
            with connect(server.url) as db:
                _ = db.objects(Student)["1"].age

        yield Case("connect, read one attribute, close", ("redis-py hget", theirs), {"": ours}, calls=50)
    yield Fact("a live object", _bytes_each(server, 1_000 if quick else 100_000), "bytes", target=200)


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _imported(rounds: int) -> Fact:
    """Compare the imports alone, by the clock of the new process: the interpreter takes its time for both."""
    timed = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"
    theirs, ours = timed.format("from pydantic import BaseModel"), timed.format("import distobjects")
    ratios = [float(_run(ours)) / float(_run(theirs)) for _ in range(rounds)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Fact("import distobjects / from pydantic import BaseModel", middle, "x", target=1.5, spread=(high - low) / 2)


def _bytes_each(server: Server, count: int) -> float:
    """Return what each of so many live objects holds, and no I/O is needed to make them."""
    with connect(server.url) as db:
        objects = db.objects(Student)
        ids = [str(number) for number in range(count)]
        held = [objects[ids[0]]]
        tracemalloc.start()
        try:
            begin, _ = tracemalloc.get_traced_memory()
            held = [objects[id] for id in ids]
            end, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return (end - begin) / len(held)
