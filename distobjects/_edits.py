"""Editing whole objects: over one snapshot, committed in one step or not at all. Pure flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from . import _objects, _turns, _writes
from ._drafts import Draft, open_draft, outcome
from ._flow import Flow
from ._space import Space
from .errors import Conflict


def open_edit(space: Space, id: str) -> Flow[Draft]:
    """Return a draft of the object. One round trip, as `get`."""
    stored = yield from _writes.load(space, id, creating=False)
    return open_draft(space, id, stored)


def commit_edit(draft: Draft) -> Flow[None]:
    """Write what the draft has changed. One round trip: a script; none where nothing has changed.

    Raises:
        Conflict: fields that it read or changed have been changed by somebody else; nothing was written.
        NotFound: the object has been deleted.
    """
    changed = yield from _commit(draft, *outcome(draft))
    if changed:
        raise Conflict(model=draft._draft_space.schema.name, id=draft._draft_id, fields=changed)


def _commit(draft: Draft, basis: _writes.Raws, written: _writes.Raws) -> Flow[list[str]]:
    """Write, provided that the basis stands; return what of it has changed."""
    if not written:
        return []
    space, id = draft._draft_space, draft._draft_id
    return (yield from _objects.guarded(space, id, _writes.commit(space, id, basis, written)))


def mutate(space: Space, id: str, change: Callable[[Any], object]) -> Flow[BaseModel]:
    """Apply `change` to a draft and commit it, anew after each conflict. Two round trips: a read and a script.

    Returns:
        A snapshot of what was committed.

    Raises:
        Conflict: others kept changing it for 5 seconds; nothing was written.
    """
    patience = _turns.Patience()
    return _turns.in_turn(space, id, patience, _mutate(space, id, change, patience))


def _mutate(space: Space, id: str, change: Callable[[Any], object], patience: _turns.Patience) -> Flow[BaseModel]:
    yield from _turns.begin_turn(space, id, [], patience)
    while True:
        draft = yield from open_edit(space, id)
        change(draft)
        basis, written = outcome(draft)
        snapshot = draft._draft_plain()  # before the commit: what cannot be read is told while nothing is written
        changed = yield from _commit(draft, basis, written)
        if not changed:
            return snapshot
        yield from _turns.pause(space, id, changed, patience)
