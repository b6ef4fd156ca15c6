"""Deleting what others write to: it is gone or whole, never a part of itself.

Worker 0 deletes, the others write by every way there is. They meet at one object after the other: the writers go on
to the next when it has been deleted, and it is deleted when one of them has come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from distobjects import AsyncObjects, AsyncRedisBackend, Conflict, F, NotFound, Objects, RedisBackend
from tests.stress.crew import Post
from tests.stress.figures import ACKNOWLEDGED, CONFLICTS, MISSING, Figures, Tally, total
from tests.stress.stage import Stage, Work


class Note(BaseModel):
    """No write but a whole one has all of its fields; `later` is absent at first, as of a note from before it was."""

    n: int = 0
    text: str = "whole"
    tags: list[str] = []
    later: list[str] = []


N = F(Note)


def _assign(notes: Objects[Note], id: str) -> None:
    notes[id].n = 7


def _add(notes: Objects[Note], id: str) -> None:
    notes[id].n += 1


def _edit(notes: Objects[Note], id: str) -> None:
    with notes.edit(id) as draft:
        draft.n += 1


def _mutate(note: Note) -> None:
    note.text += "."


_WRITES: list[Callable[[Objects[Note], str], object]] = [
    _assign,
    _add,
    lambda notes, id: notes[id].tags.append("x"),
    lambda notes, id: notes[id].later.append("x"),
    lambda notes, id: notes.update(id, {"n": 1, "text": "written"}),
    _edit,
    lambda notes, id: notes.mutate(id, _mutate),
    lambda notes, id: notes.field(id, N.n).increment(),
]


async def _edit_awaited(notes: AsyncObjects[Note], id: str) -> None:
    async with notes.edit(id) as draft:
        draft.n += 1


_AWAITED_WRITES: list[Callable[[AsyncObjects[Note], str], Awaitable[Any]]] = [
    lambda notes, id: notes.field(id, N.n).set(7),
    lambda notes, id: notes.field(id, N.n).increment(),
    lambda notes, id: notes.field(id, N.tags).update(lambda tags: [*tags, "x"]),
    lambda notes, id: notes.field(id, N.later).update(lambda later: [*later, "x"]),
    lambda notes, id: notes.update(id, {"n": 1, "text": "written"}),
    _edit_awaited,
    lambda notes, id: notes.mutate(id, _mutate),
]


def _deleted(post: Post, number: int) -> bool:
    return post.stopped or post.ticks[0] > number


def _reached(post: Post, number: int) -> bool:
    return post.stopped or max(post.ticks[1:]) > number


def _write(post: Post, db: RedisBackend, ids: list[str]) -> Tally:
    tally, notes, turn = Tally(), db.objects(Note), post.index
    for number, id in enumerate(ids):
        post.ticks[post.index] = number + 1
        while not _deleted(post, number):
            with tally.attempt(NotFound, Conflict):
                _WRITES[turn % len(_WRITES)](notes, id)
            turn += 1
    return tally


async def _write_awaited(post: Post, db: AsyncRedisBackend, ids: list[str]) -> Tally:
    tally, notes, turn = Tally(), db.objects(Note), post.index
    for number, id in enumerate(ids):
        post.ticks[post.index] = number + 1
        while not _deleted(post, number):
            with tally.attempt(NotFound, Conflict):
                await _AWAITED_WRITES[turn % len(_AWAITED_WRITES)](notes, id)
            turn += 1
    return tally


def _delete(post: Post, db: RedisBackend, ids: list[str]) -> Tally:
    notes = db.objects(Note)
    for number, id in enumerate(ids):
        while not _reached(post, number):
            notes.exists(id)
        for _ in range(number % 3):  # at another point of the writes each time
            notes.exists(id)
        notes.delete(id)
        if _comes_back(number):
            notes.create(Note(), id=id)
        post.tick()
    return Tally()


async def _delete_awaited(post: Post, db: AsyncRedisBackend, ids: list[str]) -> Tally:
    notes = db.objects(Note)
    for number, id in enumerate(ids):
        while not _reached(post, number):
            await notes.exists(id)
        for _ in range(number % 3):
            await notes.exists(id)
        await notes.delete(id)
        if _comes_back(number):
            await notes.create(Note(), id=id)
        post.tick()
    return Tally()


def _comes_back(number: int) -> bool:
    return number % 2 == 1


def deletions(stage: Stage, size: int) -> Figures:
    """One process deletes, and creates every second object anew; the others write."""
    ids = [str(number) for number in range(size)]
    writers = stage.crew.size - 1
    with stage.open() as db, stage.raw() as raw:
        db.objects(Note).create_many({id: Note() for id in ids})
        with raw.pipeline(transaction=False) as pipeline:
            for id in ids:
                pipeline.hdel(f"Note:{id}", "later")
            pipeline.execute()
        work = [Work(_delete, _delete_awaited)] + [Work(_write, _write_awaited)] * writers
        tally = total(stage.run(work, [(ids,)] * stage.crew.size))
        found = [set(raw.hkeys(f"Note:{id}")) for id in ids]
    whole = {name.encode() for name in Note.model_fields}
    torsos = [id for id, fields in zip(ids, found, strict=True) if fields not in (set(), whole)]
    assert torsos == []
    assert [bool(fields) for fields in found] == [_comes_back(number) for number in range(size)]
    return Figures(
        tally.counts[ACKNOWLEDGED],
        sum(map(bool, found)),
        conflicts=tally.counts[CONFLICTS],
        worst_seconds=tally.worst_seconds,
        note=f"{size:,} rounds, 0 torsos; {tally.counts[MISSING]:,} writes came too late",
    )
