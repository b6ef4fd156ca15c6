"""What safety costs: sums, containers and edits, against redis-py's own `hget` in the same rounds.

    python -m benchmarks.atomic [--rounds 25]

The target: an unbounded `+=` on an int, which is a read and a script, costs at most 2.4 x one `hget`; an attribute
write is one round trip, though it makes sure that the object is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import redis
from pydantic import BaseModel, Field

from distobjects import F, RedisBackend, connect

from . import _rounds, _server

_TARGET = 2.4


class Counter(BaseModel):
    """What is counted and appended to."""

    n: int = 0
    left: int = Field(default=10**9, ge=0)
    tags: list[str] = []
    meta: dict[str, int] = {"k": 0}


C = F(Counter)


def measure(server: _server.Server, rounds: int) -> bool:
    """Compare on one server; say whether the targets are met."""
    client = redis.Redis(port=server.port)
    with connect(server.url) as db:
        counters = db.objects(Counter)
        live = counters.put(Counter(), id="1")
        n = counters.field("1", C.n)

        def add() -> None:
            live.n += 1

        def take() -> None:
            live.left -= 1

        def assign() -> None:
            live.n = 5

        def append() -> None:
            live.tags.append("x")
            live.tags.pop()

        def add_below() -> None:
            live.meta["k"] += 1

        def edit() -> None:
            with counters.edit("1") as draft:
                draft.n += 1

        contenders: dict[str, Callable[[], object]] = {
            "redis-py hget": lambda: client.hget("Counter:1", "n"),
            "redis-py hset": lambda: client.hset("Counter:1", "n", "5"),
            "redis-py hincrby": lambda: client.hincrby("Counter:1", "n", 1),
            "s.n": lambda: live.n,
            "s.n = 5": assign,
            "s.n += 1": add,
            "field.increment()": n.increment,
            "s.left -= 1, with ge=0": take,
            "s.meta['k'] += 1": add_below,
            "s.tags.append(x), then pop()": append,
            "with edit(id)": edit,
        }
        rows = _rounds.compare(contenders, baseline="redis-py hget", rounds=rounds, calls=200)
        _rounds.show(f"{server.name}, TCP: ratio to hget", rows)
        trips = {name: trips_of(db, contenders[name]) for name in contenders if not name.startswith("redis-py")}
    print("  round trips: " + ", ".join(f"{name}: {count}" for name, count in trips.items()))
    ratio = next(row.ratio for row in rows if row.name == "s.n += 1")
    print(f"  s.n += 1 costs {ratio:.2f} x hget; at most {_TARGET} is wanted")
    return ratio <= _TARGET and trips["s.n = 5"] == 1


def trips_of(db: RedisBackend, call: Callable[[], object]) -> int:
    """Return how many round trips a call makes."""
    before = db._runner.trips
    call()
    return db._runner.trips - before


def main() -> int:
    """Measure on every server that is installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    _rounds.pin(0)
    print(f"{_rounds.machine()}, redis-py {redis.__version__}; client and server on one CPU; medians of rounds")
    met: list[bool] = []
    for name, binary in _server.binaries().items():
        with _server.running(name, binary, cpu=0) as server:
            met.append(measure(server, rounds))
    return 0 if all(met) else 1


if __name__ == "__main__":
    raise SystemExit(main())
