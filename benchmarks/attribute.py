"""One attribute: reading and writing it, against redis-py's own `hget` and `hset` (bytes, no validation)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from datetime import UTC, datetime

import redis
from pydantic import BaseModel, Field

from distobjects import RedisBackend, connect

from ._case import Call, Case, Fact
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


def _bare(kind: str, server: Server, *command: str) -> Call:
    """Return a call that sends a command over a socket of its own and receives the reply.

    Its time-out is the system's: Python's own would poll before each call.
    """
    stream = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    stream.connect(server.socket if kind == "unix" else ("127.0.0.1", server.port))
    if kind == "TCP":
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        stream.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 5, 0))
    words = "".join(f"${len(each)}\r\n{each}\r\n" for each in command)
    packed = f"*{len(command)}\r\n{words}".encode()

    def call() -> bytes:
        stream.sendall(packed)
        return stream.recv(1 << 16)

    return call


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
            floor=_bare(kind, server, "HGET", "Student:1", "name"),
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
            floor=_bare(kind, server, "HSET", "Student:1", "name", "Harry"),
        )
