"""One whole object of ten mixed fields: reading and writing it, against redis-py's `hgetall` and `hset(mapping=)`.

redis-py has bytes only: it neither decodes nor validates what it reads, nor encodes what it writes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import redis
from pydantic import BaseModel, Field

from distobjects import connect

from ._case import Case, Fact
from ._server import Server


class House(Enum):
    """A field that is one of a few."""

    GRYFFINDOR = "gryffindor"
    RAVENCLAW = "ravenclaw"


class Pupil(BaseModel):
    """What is read and written."""

    name: str
    age: int = Field(ge=0)
    height: float
    present: bool
    seen: datetime
    friends: list[str]
    marks: dict[str, int]
    gold: Decimal
    house: House
    remark: str | None


def pupil() -> Pupil:
    """Return one with every field set."""
    return Pupil(
        name="Harry Potter",
        age=12,
        height=1.47,
        present=True,
        seen=datetime.now(UTC),
        friends=["Ron", "Hermione", "Hagrid"],
        marks={"potions": 4, "flying": 1},
        gold=Decimal("12.50"),
        house=House.GRYFFINDOR,
        remark="has been seen near the third floor",
    )


def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Read and write over both kinds of socket."""
    yield from _over("TCP", server.url, redis.Redis(port=server.port))
    yield from _over("unix", f"unix://{server.socket}", redis.Redis(unix_socket_path=server.socket))


def _over(kind: str, url: str, client: redis.Redis) -> Iterator[Case]:
    with connect(url) as ours:
        pupils, whole = ours.objects(Pupil), pupil()
        pupils.put(whole, id="1")
        yield Case(
            f"read, {kind}",
            ("redis-py hgetall", lambda: client.hgetall("Pupil:1")),
            {"get": lambda: pupils.get("1")},
            target=0.68,
            stretch=0.60,
        )
        stored: dict[Any, Any] = client.hgetall("Pupil:1")
        fresh = map(str, itertools.count(2))
        yield Case(
            f"write, {kind}",
            ("redis-py hset(mapping=)", lambda: client.hset(f"Bytes:{next(fresh)}", mapping=stored)),
            {
                "create": lambda: pupils.create(whole, id=next(fresh)),
                "create, with a new id": lambda: pupils.create(whole),
                "put over another": lambda: pupils.put(whole, id="1"),
            },
            target=0.75,
            stretch=0.64,
        )
        client.flushdb()
