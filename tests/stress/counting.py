"""Sums of numbers: none is lost, wherever the number stands, and a bound holds."""

from __future__ import annotations

from pydantic import BaseModel, Field, ValidationError

from distobjects import AsyncRedisBackend, Conflict, F, RedisBackend
from tests.stress.crew import Post
from tests.stress.figures import ACKNOWLEDGED, CONFLICTS, REFUSED, Figures, Tally, total
from tests.stress.stage import Stage, Work, shares


class Counter(BaseModel):
    """What is counted, and what is taken from."""

    n: int = 0
    left: int = Field(default=0, ge=0)


class Item(BaseModel):
    """A line of a cart."""

    qty: int = 0


class Cart(BaseModel):
    """Numbers further down."""

    items: list[Item] = []
    meta: dict[str, int] = {}


C = F(Counter)
K = F(Cart)


# ---- one number


def _add(post: Post, db: RedisBackend, times: int) -> Tally:
    tally, s = Tally(), db.objects(Counter)["1"]
    for _ in range(times):
        with tally.attempt():
            s.n += 1
        post.tick()
    return tally


async def _add_awaited(post: Post, db: AsyncRedisBackend, times: int) -> Tally:
    tally, n = Tally(), db.objects(Counter).field("1", C.n)
    for _ in range(times):
        with tally.attempt():
            await n.increment()
        post.tick()
    return tally


def increments(stage: Stage, size: int) -> Figures:
    """All add 1 to the same number: it ends at exactly as many."""
    with stage.open() as db:
        live = db.objects(Counter).create(Counter(), id="1")
        tally = total(stage.run(Work(_add, _add_awaited), [(each,) for each in shares(size, stage.crew.size)]))
        stored, expected = int(live.n), sum(shares(size, stage.crew.size))
    assert tally.counts[ACKNOWLEDGED] == stored == expected
    usual = (2 if stage.colour == "sync" else 1) * expected
    return Figures(expected, stored, retries=_retries(tally, usual, 1), worst_seconds=tally.worst_seconds)


def _take(post: Post, db: RedisBackend) -> Tally:
    tally, s = Tally(), db.objects(Counter)["1"]
    while tally.last != REFUSED:
        with tally.attempt(ValidationError):
            s.left -= 1
        post.tick()
    return tally


async def _take_awaited(post: Post, db: AsyncRedisBackend) -> Tally:
    tally, left = Tally(), db.objects(Counter).field("1", C.left)
    while tally.last != REFUSED:
        with tally.attempt(ValidationError):
            await left.increment(-1)
        post.tick()
    return tally


def stock(stage: Stage, size: int) -> Figures:
    """All take 1 until they are refused: nothing is left, and no more was taken than there was."""
    with stage.open() as db:
        live = db.objects(Counter).create(Counter(left=size), id="1")
        tallies = stage.run(Work(_take, _take_awaited), [()] * stage.crew.size)
        tally, left = total(tallies), int(live.left)
    assert left == 0
    assert tally.counts[ACKNOWLEDGED] == size
    assert tally.counts[REFUSED] == stage.crew.size
    return Figures(size, size - left, worst_seconds=tally.worst_seconds, note=f"{left} left")


# ---- numbers in containers


def _add_below(post: Post, db: RedisBackend, times: int, in_list: bool) -> Tally:
    tally, cart = Tally(), db.objects(Cart)["1"]
    for _ in range(times):
        with tally.attempt(Conflict):
            if in_list:
                cart.items[0].qty += 1
            else:
                cart.meta["k"] += 1
        post.tick()
    return tally


def _more(cart: Cart) -> None:
    cart.items[0].qty += 1


async def _add_below_awaited(post: Post, db: AsyncRedisBackend, times: int, in_list: bool) -> Tally:
    tally, carts = Tally(), db.objects(Cart)
    for _ in range(times):
        with tally.attempt(Conflict):
            if in_list:
                await carts.mutate("1", _more)
            else:
                await carts.field("1", K.meta).update(lambda meta: {**meta, "k": meta["k"] + 1})
        post.tick()
    return tally


def items(stage: Stage, size: int) -> Figures:
    """All add 1 to a number in a list's element: what was not refused as a Conflict is there."""
    return _below(stage, size, in_list=True)


def counts(stage: Stage, size: int) -> Figures:
    """All add 1 to a number under a key: all of it is there, and nobody is refused."""
    figures = _below(stage, size, in_list=False)
    assert figures.conflicts == 0
    return figures


def _below(stage: Stage, size: int, *, in_list: bool) -> Figures:
    parts = shares(size, min(stage.crew.size, 4))
    with stage.open() as db:
        carts = db.objects(Cart)
        carts.create(Cart(items=[Item()], meta={"k": 0}), id="1")
        tallies = stage.run(Work(_add_below, _add_below_awaited), [(each, in_list) for each in parts])
        tally, cart = total(tallies), carts.get("1")
    stored = cart.items[0].qty if in_list else cart.meta["k"]
    assert stored == tally.counts[ACKNOWLEDGED] > 0
    assert stored + tally.counts[CONFLICTS] == sum(parts)
    return Figures(
        tally.counts[ACKNOWLEDGED],
        stored,
        conflicts=tally.counts[CONFLICTS],
        retries=_retries(tally, 2 * sum(parts), 2),
        worst_seconds=tally.worst_seconds,
    )


def _retries(tally: Tally, usual: int, each: int) -> int:
    """Return how many attempts took more round trips than usual; the first of each process loads a script."""
    return max(0, tally.trips - usual) // each
