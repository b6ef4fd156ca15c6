"""Appending and setting by all processes in one container: all of it is there, each once, and nobody gives up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from pydantic import BaseModel

from distobjects import AsyncObjects, AsyncRedisBackend, Conflict, F, RedisBackend
from tests.stress.crew import Post
from tests.stress.figures import ACKNOWLEDGED, CONFLICTS, Figures, Tally, total
from tests.stress.stage import Stage, Work, shares


class Item(BaseModel):
    """An element of a list of models."""

    name: str


class Bag(BaseModel):
    """One container of each kind."""

    tags: list[str] = []
    meta: dict[str, int] = {}
    deep: dict[str, dict[str, int]] = {"a": {}, "b": {}}
    items: list[Item] = []


B = F(Bag)


def _set_key(bag: Bag, name: str) -> None:
    bag.meta[name] = 1


def _set_deep(bag: Bag, name: str) -> None:
    bag.deep["ab"[len(name) % 2]][name] = 1


# What each kind does, on a live object or on a draft, and where it ends up.
_CHANGES: dict[str, tuple[Callable[[Bag, str], object], Callable[[Bag], Iterable[str]]]] = {
    "tags": (lambda bag, name: bag.tags.append(name), lambda bag: bag.tags),
    "meta": (_set_key, lambda bag: bag.meta),
    "deep": (_set_deep, lambda bag: [name for part in bag.deep.values() for name in part]),
    "items": (lambda bag, name: bag.items.append(Item(name=name)), lambda bag: [item.name for item in bag.items]),
}
# Of asyncio, the lists by a field's handle, in one round trip, and the others by a function of theirs or a draft.
_UPDATES: dict[str, Callable[[AsyncObjects[Bag], str], Awaitable[Any]]] = {
    "tags": lambda bags, name: bags.field("1", B.tags).append(name),
    "meta": lambda bags, name: bags.field("1", B.meta).update(lambda meta: {**meta, name: 1}),
    "deep": lambda bags, name: bags.mutate("1", lambda bag: _set_deep(bag, name)),
    "items": lambda bags, name: bags.field("1", B.items).append(Item(name=name)),
}


def _names(post: Post, count: int) -> list[str]:
    return [f"{post.index}-{number}" for number in range(count)]


def _put_in(post: Post, db: RedisBackend, kind: str, count: int) -> Tally:
    tally, bag, (change, _) = Tally(), db.objects(Bag)["1"], _CHANGES[kind]
    for name in _names(post, count):
        tally.last = ""
        while tally.last != ACKNOWLEDGED:  # a conflict is one too many, but says truly that nothing was written
            with tally.attempt(Conflict):
                change(bag, name)
        post.tick()
    return tally


async def _put_in_awaited(post: Post, db: AsyncRedisBackend, kind: str, count: int) -> Tally:
    tally, bags, update = Tally(), db.objects(Bag), _UPDATES[kind]
    for name in _names(post, count):
        tally.last = ""
        while tally.last != ACKNOWLEDGED:
            with tally.attempt(Conflict):
                await update(bags, name)
        post.tick()
    return tally


def _filled(stage: Stage, size: int, kind: str) -> Figures:
    parts = shares(size, stage.crew.size)
    with stage.open() as db:
        bags = db.objects(Bag)
        bags.create(Bag(), id="1")
        tally = total(stage.run(Work(_put_in, _put_in_awaited), [(kind, each) for each in parts]))
        found = Counter(_CHANGES[kind][1](bags.get("1")))
    expected = [f"{index}-{number}" for index, count in enumerate(parts) for number in range(count)]
    assert found == Counter(expected)
    assert tally.counts[CONFLICTS] == 0, (
        f"{tally.counts[CONFLICTS]} gave up, the worst after {tally.worst_seconds:.1f} s"
    )
    least = 1 if stage.colour == "async" and kind in ("tags", "items") else 2
    retries = max(0, tally.trips - least * len(expected)) // least
    return Figures(tally.counts[ACKNOWLEDGED], found.total(), retries=retries, worst_seconds=tally.worst_seconds)


def appends(stage: Stage, size: int) -> Figures:
    """All append to one list."""
    return _filled(stage, size, "tags")


def keys(stage: Stage, size: int) -> Figures:
    """All set keys of one dict."""
    return _filled(stage, size, "meta")


def nested(stage: Stage, size: int) -> Figures:
    """All set keys of the dicts in one dict."""
    return _filled(stage, size, "deep")


def models(stage: Stage, size: int) -> Figures:
    """All append to one list of models."""
    return _filled(stage, size, "items")
