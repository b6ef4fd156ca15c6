"""What safety costs: sums, containers and edits, against redis-py's own `hget` in the same rounds.

The target: an unbounded `+=` on an int, which is a read and a script, costs at most 2.4 x one `hget`; an attribute
write is one round trip, though it makes sure that the object is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import redis
from pydantic import BaseModel, Field

from distobjects import F, RedisBackend, connect

from ._case import Call, Case, Fact
from ._server import Server


class Counter(BaseModel):
    """What is counted and appended to."""

    n: int = 0
    left: int = Field(default=10**9, ge=0)
    tags: list[str] = []
    meta: dict[str, int] = {"k": 0}


C = F(Counter)


def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Compare commands and their round trips."""
    client = redis.Redis(port=server.port)
    with connect(server.url) as db:
        counters = db.objects(Counter)
        live = counters.put(Counter(), id="1")
        n = counters.field("1", C.n)

        def add() -> None:
            live.n += 1

        def take() -> None:
            live.left -= 1

        def append() -> None:
            live.tags.append("x")
            live.tags.pop()

        def add_below() -> None:
            live.meta["k"] += 1

        def edit() -> None:
            with counters.edit("1") as draft:
                draft.n += 1

        def get() -> object:
            return client.hget("Counter:1", "n")

        def assign() -> None:
            live.n = 5

        assign()  # by now it is known whether the server has HSETEX, and it has the script
        others: dict[str, Call] = {
            "field.increment()": n.increment,
            "s.left -= 1, with ge=0": take,
            "s.meta['k'] += 1": add_below,
            "s.tags.append(x), then pop()": append,
            "with edit(id)": edit,
        }
        yield Case("s.n += 1", ("redis-py hget", get), {"": add}, target=2.4, calls=200)
        yield Case("change", ("redis-py hget", get), others, calls=200)
        yield Fact("s.n = 5", trips_of(db, assign), "round trips", target=1)


def trips_of(db: RedisBackend, call: Callable[[], object]) -> int:
    """Return how many round trips a call makes."""
    before = db._runner.trips
    call()
    return db._runner.trips - before
