"""Editing whole objects: over one snapshot, committed in one step or not at all. Pure flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from . import _objects, _writes
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
    space, id = draft._draft_space, draft._draft_id
    basis, written = outcome(draft)
    if written:
        changed = yield from _objects.guarded(space, id, _writes.commit(space, id, basis, written))
        if changed:
            raise Conflict(model=space.schema.name, id=id, fields=changed)


def mutate(space: Space, id: str, change: Callable[[Any], object]) -> Flow[BaseModel]:
    """Apply `change` to a draft and commit it, anew after each conflict. Two round trips: a read and a script.

    Returns:
        A snapshot of what was committed.

    Raises:
        Conflict: others kept changing it for 5 seconds; nothing was written.
    """
    while True:
        draft = yield from open_edit(space, id)
        change(draft)
        try:
            yield from commit_edit(draft)
        except Conflict as conflict:
            yield from _writes.pause(space, id, list(conflict.fields))
        else:
            return draft._draft_plain()
