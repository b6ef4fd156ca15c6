"""One whole object of ten mixed fields: reading and writing it, against redis-py's `hgetall` and `hset(mapping)`.

redis-py has bytes only: it neither decodes nor validates what it reads, nor encodes what it writes.

python -m benchmarks.whole [--rounds 25]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import redis
from pydantic import BaseModel, Field

from distobjects import connect

from . import _rounds, _server


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


def measure(server: _server.Server, url: str, client: redis.Redis, rounds: int) -> None:
    """Compare on one server, over one kind of socket."""
    backend = connect(url)
    objects, whole = backend.objects(Pupil), pupil()
    objects.put(whole, id="1")
    stored: dict[Any, Any] = client.hgetall("Pupil:1")
    kind = "unix" if url.startswith("unix") else "TCP"
    fresh = map(str, itertools.count(2))
    reads: dict[str, Callable[[], object]] = {
        "redis-py hgetall": lambda: client.hgetall("Pupil:1"),
        "get(id)": lambda: objects.get("1"),
    }
    _rounds.show(f"{server.name}, {kind}: read", _rounds.compare(reads, baseline="redis-py hgetall", rounds=rounds))
    writes: dict[str, Callable[[], object]] = {
        "redis-py hset(mapping)": lambda: client.hset(f"Bytes:{next(fresh)}", mapping=stored),
        "create(pupil, id=...)": lambda: objects.create(whole, id=next(fresh)),
        "create(pupil)": lambda: objects.create(whole),
        "put(pupil, id=...), over another": lambda: objects.put(whole, id="1"),
    }
    _rounds.show(
        f"{server.name}, {kind}: write", _rounds.compare(writes, baseline="redis-py hset(mapping)", rounds=rounds)
    )
    client.flushdb()
    backend.close()


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
