"""Appending to a list from which others take by comparing: all of it is there once, and nobody keeps anybody out."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import NamedTuple

from pydantic import BaseModel

from distobjects import AsyncRedisBackend, Conflict, F, RedisBackend
from tests.stress.crew import Post
from tests.stress.figures import ACKNOWLEDGED, CONFLICTS, Figures, Tally, total
from tests.stress.stage import Stage, Work, shares


class Desk(BaseModel):
    """What waits to be done, and what is."""

    waiting: list[str] = []
    done: list[str] = []


D = F(Desk)


class Taken(NamedTuple):
    """What one worker did, and the names that it has taken away."""

    tally: Tally
    names: list[str]


def _append(post: Post, db: RedisBackend, count: int) -> Taken:
    tally, desk = Tally(), db.objects(Desk)["1"]
    for number in range(count):
        tally.last = ""
        while tally.last != ACKNOWLEDGED:
            with tally.attempt(Conflict):
                desk.waiting.append(f"{post.index}-{number}")
        post.tick()
    return Taken(tally, [])


async def _append_awaited(post: Post, db: AsyncRedisBackend, count: int) -> Taken:
    tally, waiting = Tally(), db.objects(Desk).field("1", D.waiting)
    for number in range(count):
        tally.last = ""
        while tally.last != ACKNOWLEDGED:
            with tally.attempt(Conflict):
                await waiting.append(f"{post.index}-{number}")
        post.tick()
    return Taken(tally, [])


def _finish_first(desk: Desk) -> None:
    if desk.waiting:
        desk.done.append(desk.waiting.pop(0))


def _finish(post: Post, db: RedisBackend) -> Taken:
    tally, desks = Tally(), db.objects(Desk)
    while not post.stopped:
        with tally.attempt(Conflict):
            desks.mutate("1", _finish_first)
    return Taken(tally, [])


async def _finish_awaited(post: Post, db: AsyncRedisBackend) -> Taken:
    tally, desks = Tally(), db.objects(Desk)
    while not post.stopped:
        with tally.attempt(Conflict):
            await desks.mutate("1", _finish_first)
    return Taken(tally, [])


def _take(post: Post, db: RedisBackend) -> Taken:
    taken, desk = Taken(Tally(), []), db.objects(Desk)["1"]
    while not post.stopped:
        with taken.tally.attempt(Conflict), suppress(IndexError):  # somebody else has taken the last one
            taken.names.append(desk.waiting.pop())
    return taken


async def _take_awaited(post: Post, db: AsyncRedisBackend) -> Taken:
    taken, waiting = Taken(Tally(), []), db.objects(Desk).field("1", D.waiting)
    while not post.stopped:
        last: list[str] = []

        def take(names: list[str], last: list[str] = last) -> list[str]:
            last[:] = names[-1:]
            return names[:-1]

        with taken.tally.attempt(Conflict):
            await waiting.update(take)
            taken.names.extend(last)
    return taken


def drafts(stage: Stage, size: int) -> Figures:
    """Half of the processes append; of the others, some finish what came first, by drafts, some take what came last."""
    appenders = stage.crew.size // 2
    parts = shares(size, appenders)
    others = stage.crew.size - appenders
    with stage.open() as db:
        desks = db.objects(Desk)
        desks.create(Desk(), id="1")
        by_drafts, by_the_list = Work(_finish, _finish_awaited), Work(_take, _take_awaited)
        work = [Work(_append, _append_awaited)] * appenders
        work += [by_the_list if index % 2 else by_drafts for index in range(others)]
        args = [*((each,) for each in parts), *[()] * others]
        results: list[Taken] = stage.run(work, args, until=lambda: sum(stage.crew.ticks) >= sum(parts))
        desk = desks.get("1")
    found = Counter([*desk.waiting, *desk.done, *(name for each in results for name in each.names)])
    assert found == Counter(f"{index}-{number}" for index, count in enumerate(parts) for number in range(count))
    tally, changes = (
        total(each.tally for each in results[:appenders]),
        total(each.tally for each in results[appenders:]),
    )
    gave_up = [each.tally.counts[CONFLICTS] for each in results]
    assert sum(gave_up) == 0, f"{gave_up} gave up"
    assert all(each.tally.counts[ACKNOWLEDGED] for each in results), "everybody makes progress"
    return Figures(
        tally.counts[ACKNOWLEDGED],
        found.total(),
        worst_seconds=max(tally.worst_seconds, changes.worst_seconds),
        note=f"{changes.counts[ACKNOWLEDGED]:,} changes by others, the worst after {changes.worst_seconds:.2f} s",
    )
