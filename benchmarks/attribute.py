"""One attribute: reading and writing it, against redis-py's own `hget` and `hset` (bytes, no validation)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import redis
from pydantic import BaseModel, Field

from distobjects import RedisBackend, connect

from ._case import Case, Fact
from ._server import Server


class Student(BaseModel):
    """What is read and written."""

    name: str
    age: int = Field(default=0, ge=0)
    seen: datetime | None = None


def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Read and write over both kinds of socket."""
    yield from _over("TCP", server, server.url, redis.Redis(port=server.port))
    yield from _over("unix", server, f"unix://{server.socket}", redis.Redis(unix_socket_path=server.socket))


def _over(kind: str, server: Server, url: str, client: redis.Redis) -> Iterator[Case]:
    with connect(url) as ours, RedisBackend(client) as handed:
        student = ours.objects(Student).put(Student(name="Harry", seen=datetime.now(UTC)), id="1")
        same = handed.objects(Student)["1"]
        yield Case(
            f"read, {kind}",
            ("redis-py hget", lambda: client.hget("Student:1", "name")),
            {
                "str": lambda: student.name,
                "int": lambda: student.age,
                "datetime": lambda: student.seen,
                "int, the user's own client": lambda: same.age,
            },
            target=0.52 if kind == "TCP" else 0.48,
            stretch=0.45 if kind == "TCP" else 0.40,
        )
        now = datetime.now(UTC)
        yield Case(
            f"write, {kind}",
            ("redis-py hset", lambda: client.hset("Student:1", "name", "Harry")),
            {
                "str": lambda: setattr(student, "name", "Harry"),
                "int": lambda: setattr(student, "age", 12),
                "datetime": lambda: setattr(student, "seen", now),
                "int, the user's own client": lambda: setattr(same, "age", 12),
            },
            target=0.54 if server.name == "valkey" else 0.62,
            stretch=0.45 if server.name == "valkey" else 0.55,
        )
