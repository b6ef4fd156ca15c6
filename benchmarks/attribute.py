"""One attribute: reading and writing it, against redis-py's own `hget` and `hset`.

python -m benchmarks.attribute [--rounds 25]
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import redis
from pydantic import BaseModel, Field

from distobjects import RedisBackend, connect

from . import _rounds, _server


class Student(BaseModel):
    """What is read and written."""

    name: str
    age: int = Field(default=0, ge=0)
    seen: datetime | None = None


def measure(server: _server.Server, url: str, client: redis.Redis, rounds: int) -> None:
    """Compare on one server, over one kind of socket."""
    ours, handed = connect(url), RedisBackend(client)
    student = ours.objects(Student).put(Student(name="Harry", seen=datetime.now(UTC)), id="1")
    same = handed.objects(Student)["1"]
    kind = "unix" if url.startswith("unix") else "TCP"
    reads = {
        "redis-py hget": lambda: client.hget("Student:1", "name"),
        "student.name": lambda: student.name,
        "student.age": lambda: student.age,
        "student.seen": lambda: student.seen,
        "student.age, the user's own client": lambda: same.age,
    }
    _rounds.show(f"{server.name}, {kind}: read", _rounds.compare(reads, baseline="redis-py hget", rounds=rounds))
    now = datetime.now(UTC)
    writes = {
        "redis-py hset": lambda: client.hset("Student:1", "name", "Harry"),
        "student.name = ...": lambda: setattr(student, "name", "Harry"),
        "student.age = ...": lambda: setattr(student, "age", 12),
        "student.seen = ...": lambda: setattr(student, "seen", now),
        "student.age = ..., the user's own client": lambda: setattr(same, "age", 12),
    }
    _rounds.show(f"{server.name}, {kind}: write", _rounds.compare(writes, baseline="redis-py hset", rounds=rounds))
    ours.close()


def main() -> None:
    """Measure on every server that is installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    _rounds.pin(0)
    print(f"{_rounds.machine()}, redis-py {redis.__version__}; client and server on one CPU; ratios, medians of rounds")
    for name, binary in _server.binaries().items():
        with _server.running(name, binary, cpu=0) as server:
            measure(server, server.url, redis.Redis(port=server.port), rounds)
            measure(server, f"unix://{server.socket}", redis.Redis(unix_socket_path=server.socket), rounds)


if __name__ == "__main__":
    main()
