"""A rule across fields, written by many one field at a time: nobody ever reads what the model refuses."""

from __future__ import annotations

import random
from typing import Self

from pydantic import BaseModel, ValidationError, model_validator

from distobjects import AsyncRedisBackend, Conflict, RedisBackend
from tests.stress.crew import Post
from tests.stress.figures import ACKNOWLEDGED, CONFLICTS, REFUSED, Figures, Tally, total
from tests.stress.stage import Stage, Work, shares

_MOST = 10


class Span(BaseModel):
    """Two fields that depend on each other."""

    lo: int = 0
    hi: int = _MOST

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lo > self.hi:
            raise ValueError("lo is above hi")
        return self


def _write(post: Post, db: RedisBackend, name: str) -> Tally:
    tally, span, chance = Tally(), db.objects(Span)["1"], random.Random(post.index)
    while not post.stopped:
        with tally.attempt(ValidationError, Conflict):
            setattr(span, name, chance.randint(0, _MOST))
    return tally


async def _write_awaited(post: Post, db: AsyncRedisBackend, name: str) -> Tally:
    tally, spans, chance = Tally(), db.objects(Span), random.Random(post.index)
    while not post.stopped:
        with tally.attempt(ValidationError, Conflict):
            await spans.update("1", {name: chance.randint(0, _MOST)})
    return tally


def _read(post: Post, db: RedisBackend, times: int) -> list[str]:
    spans, refused = db.objects(Span), list[str]()
    for _ in range(times):
        refused += _judged(spans.get("1"))
        post.tick()
    return refused


async def _read_awaited(post: Post, db: AsyncRedisBackend, times: int) -> list[str]:
    spans, refused = db.objects(Span), list[str]()
    for _ in range(times):
        refused += _judged(await spans.get("1"))
        post.tick()
    return refused


def _judged(snapshot: Span) -> list[str]:
    """Return a snapshot that the model refuses: reading does not run the model's own validators again."""
    try:
        Span(lo=snapshot.lo, hi=snapshot.hi)
    except ValidationError:
        return [repr(snapshot)]
    return []


def rules(stage: Stage, size: int) -> Figures:
    """Half of the processes write one field each, the others read snapshots."""
    writers = max(2, min(4, stage.crew.size // 2))
    readers = shares(size, stage.crew.size - writers)
    with stage.open() as db:
        spans = db.objects(Span)
        spans.create(Span(), id="1")
        work = [Work(_write, _write_awaited)] * writers + [Work(_read, _read_awaited)] * len(readers)
        args = [("lo" if index % 2 else "hi",) for index in range(writers)] + [(each,) for each in readers]
        results = stage.run(work, args, until=lambda: sum(stage.crew.ticks) >= sum(readers))
        last = spans.get("1")
    refused = [each for result in results[writers:] for each in result]
    assert refused == []
    assert _judged(last) == []
    assert all(each.counts[ACKNOWLEDGED] for each in results[:writers]), "every writer makes progress"
    tally = total(results[:writers])
    return Figures(
        tally.counts[ACKNOWLEDGED],
        tally.counts[ACKNOWLEDGED],
        conflicts=tally.counts[CONFLICTS],
        retries=max(0, tally.trips - 2 * tally.counts[ACKNOWLEDGED] - tally.counts[REFUSED]) // 2,
        worst_seconds=tally.worst_seconds,
        note=f"{sum(readers):,} reads, 0 refused by the model; {tally.counts[REFUSED]:,} writes refused by it",
    )
