"""Writes over a connection that loses requests and replies, is cut, and delivers late.

What was acknowledged is stored, once; what is stored was acknowledged, or its outcome was told to be unknown. What
failed otherwise has never left.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

from pydantic import BaseModel

from distobjects import AsyncRedisBackend, F, OutcomeUnknown, RedisBackend, StoreUnavailable
from tests.fix_faults import Fault, Storm, faulty
from tests.stress.crew import Post, Target
from tests.stress.figures import ACKNOWLEDGED, UNAVAILABLE, UNKNOWN, Figures, Tally, total
from tests.stress.stage import Stage, Work

ALL_FAULTS = [fault for fault in Fault if fault is not Fault.HOLD_REPLY]
COMMANDS = ["HGET", "HMGET", "HSETEX", "EVALSHA", "EVAL"]
# Some of the late replies come after the client has given up.
OPERATION_SECONDS, LATE_SECONDS = 0.1, 0.11


class Log(BaseModel):
    """What is written to."""

    n: int = 0
    tags: list[str] = []


L = F(Log)


class Written(NamedTuple):
    """What one worker knows of what it has appended."""

    acknowledged: list[str]
    unknown: list[str]


def _add(post: Post, db: RedisBackend) -> Tally:
    tally, log = Tally(), db.objects(Log)["1"]
    while not post.stopped:
        with tally.attempt(OutcomeUnknown, StoreUnavailable):
            log.n += 1
        post.tick()
    return tally


async def _add_awaited(post: Post, db: AsyncRedisBackend) -> Tally:
    tally, n = Tally(), db.objects(Log).field("1", L.n)
    while not post.stopped:
        with tally.attempt(OutcomeUnknown, StoreUnavailable):
            await n.increment()
        post.tick()
    return tally


def _append(post: Post, db: RedisBackend) -> tuple[Tally, Written]:
    tally, log, written = Tally(), db.objects(Log)["1"], Written([], [])
    while not post.stopped:
        name = f"{post.index}-{tally.counts.total()}"
        with tally.attempt(OutcomeUnknown, StoreUnavailable):
            log.tags.append(name)
        _note(written, tally.last, name)
        post.tick()
    return tally, written


async def _append_awaited(post: Post, db: AsyncRedisBackend) -> tuple[Tally, Written]:
    tally, tags, written = Tally(), db.objects(Log).field("1", L.tags), Written([], [])
    while not post.stopped:
        name = f"{post.index}-{tally.counts.total()}"
        with tally.attempt(OutcomeUnknown, StoreUnavailable):
            await tags.update(lambda names, name=name: [*names, name])
        _note(written, tally.last, name)
        post.tick()
    return tally, written


def _note(written: Written, outcome: str, name: str) -> None:
    if outcome == ACKNOWLEDGED:
        written.acknowledged.append(name)
    elif outcome == UNKNOWN:
        written.unknown.append(name)


def fault_increments(stage: Stage, size: int, *, handed: bool = False) -> Figures:
    """All add 1 until there have been `size` faults."""
    tallies, log, note = _stormed(stage, size, Work(_add, _add_awaited), handed)
    return _figures(total(tallies), log.n, note)


def fault_appends(stage: Stage, size: int, *, handed: bool = False) -> Figures:
    """All append names of their own until there have been `size` faults."""
    results, log, note = _stormed(stage, size, Work(_append, _append_awaited), handed)
    stored = Counter(log.tags)
    acknowledged = {name for _, written in results for name in written.acknowledged}
    unknown = {name for _, written in results for name in written.unknown}
    assert max(stored.values()) == 1, "none twice"
    assert acknowledged <= stored.keys() <= acknowledged | unknown
    return _figures(total(tally for tally, _ in results), stored.total(), note)


def handed_increments(stage: Stage, size: int) -> Figures:
    """The same through redis-py's client as it comes, whose retries are on."""
    return fault_increments(stage, size, handed=True)


def handed_appends(stage: Stage, size: int) -> Figures:
    """The same through redis-py's client as it comes, whose retries are on."""
    return fault_appends(stage, size, handed=True)


def _stormed(stage: Stage, size: int, work: Work, handed: bool) -> tuple[list, Log, str]:  # type: ignore[type-arg]
    with stage.open() as db:
        logs = db.objects(Log)
        logs.create(Log(), id="1")
        with faulty(stage.server) as proxy:
            proxy.storm = Storm(ALL_FAULTS, COMMANDS, 0.25, LATE_SECONDS, random.Random(size))
            target = Target(proxy.port, handed, OPERATION_SECONDS)
            results = stage.run(work, [()] * stage.crew.size, target=target, until=lambda: len(proxy.fired) >= size)
        # what the proxy was to deliver late has arrived
        return results, logs.get("1"), f"{len(proxy.fired):,} faults"


def _figures(tally: Tally, stored: int, note: str) -> Figures:
    acknowledged, unknown = tally.counts[ACKNOWLEDGED], tally.counts[UNKNOWN]
    assert acknowledged <= stored <= acknowledged + unknown
    assert unknown
    assert acknowledged > unknown, "most get through"
    return Figures(
        acknowledged,
        stored,
        unknown,
        worst_seconds=tally.worst_seconds,
        note=f"{note}; {tally.counts[UNAVAILABLE]:,} never left",
    )
