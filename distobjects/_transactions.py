"""Several objects at once: read and drafted locally, compared and committed by one script. Pure flows.

1. Every object that takes part is named once: read, edited, created or deleted. Asking for it again gives the same.
2. What was read is compared when the transaction commits: all fields of a snapshot, those of a draft that were used.
3. The script (`transact.lua`) writes all or nothing. On a Cluster, all keys must be in one slot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from . import _objects, _scripts, _writes
from ._drafts import Draft, open_draft, outcome
from ._flow import Argument, CrossSlot, Flow
from ._space import Space
from .errors import AlreadyExists, Conflict, NotFound

_STAYS, _NEW, _GONE = "=", "+", "-"


class Part(NamedTuple):
    """An object's part in a transaction.

    Attributes:
        draft: what becomes of it; of a snapshot, nothing does.
        raws: what a new object is made of.
    """

    space: Space
    id: str
    fate: str
    draft: Draft | None
    raws: _writes.Raws


class Parts:
    """What takes part, by key. Mutable: it grows while the block runs."""

    def __init__(self, one_slot: Callable[[list[str]], None]) -> None:
        self._parts: dict[str, Part] = {}
        self._one_slot = one_slot

    def _join(self, part: Part) -> None:
        keys = [*self._parts, key := part.space.key(part.id)]
        self._one_slot(keys)
        self._parts[key] = part

    def draft(self, space: Space, id: str) -> Flow[Draft]:
        """Return the object's draft. One round trip, the first time.

        Raises:
            NotFound: there is no such object.
            ValueError: it is created or deleted by this transaction.
        """
        part = self._parts.get(space.key(id))
        if part is None:
            stored = yield from _writes.load(space, id, creating=False)
            part = Part(space, id, _STAYS, open_draft(space, id, stored), {})
            self._join(part)
        if part.draft is None or part.fate != _STAYS:
            raise ValueError(f"{space.schema.name} {id!r} is created or deleted by this transaction already")
        return part.draft

    def snapshot(self, space: Space, id: str) -> Flow[BaseModel]:
        """Return a plain instance, whose every field is compared when the transaction commits."""
        draft = yield from self.draft(space, id)
        return draft._draft_plain().model_copy(deep=True)

    def create(self, space: Space, id: str, value: BaseModel) -> None:
        """Take note of a new object. No I/O before the commit."""
        self._refuse_known(space, id)
        raws = space.schema.encode_instance(value)
        self._join(Part(space, id, _NEW, None, dict(zip(space.schema.fields, raws, strict=True))))

    def delete(self, space: Space, id: str) -> None:
        """Take note of a deletion; what was read of the object before is compared. No I/O before the commit."""
        key = space.key(id)
        known = self._parts.get(key)
        if known is not None and known.fate == _NEW:
            self._refuse_known(space, id)
        if known is None:
            self._join(Part(space, id, _GONE, None, {}))
        else:
            self._parts[key] = known._replace(fate=_GONE)

    def _refuse_known(self, space: Space, id: str) -> None:
        if space.key(id) in self._parts:
            raise ValueError(f"{space.schema.name} {id!r} takes part in this transaction already")

    def commit(self) -> Flow[None]:
        """Commit everything. One round trip: a script.

        Raises:
            Conflict: an object was changed meanwhile; nothing was written.
            NotFound: one was deleted meanwhile; nothing was written.
            AlreadyExists: one that is to be created is there; nothing was written.
        """
        if not self._parts:
            return
        parts = list(self._parts.values())
        outcomes = [_outcome(part) for part in parts]
        status, *rest = yield from _transact(parts, outcomes)
        if status == _writes.DONE:
            return
        part = parts[int(rest[0]) - 1]
        fields = [cast(bytes, name).decode() for name in rest[1:]]
        name = part.space.schema.name
        if status == _writes.ABSENT:
            raise NotFound(model=name, id=part.id)
        if part.fate == _NEW:
            raise AlreadyExists(model=name, ids=[part.id])
        raise Conflict(model=name, id=part.id, fields=fields)


def _outcome(part: Part) -> tuple[_writes.Raws, _writes.Raws]:
    """Return what the commit of a part depends on, and what it writes."""
    if part.draft is None:
        return {}, part.raws
    basis, written = outcome(part.draft)
    return basis, {} if part.fate == _GONE else written


def _transact(parts: list[Part], outcomes: list[tuple[_writes.Raws, _writes.Raws]]) -> Flow[list[Any]]:
    arguments: list[Argument] = []
    for part, (basis, written) in zip(parts, outcomes, strict=True):
        pairs = [item for name, raw in written.items() if raw is not None for item in (name, raw)]
        arguments += (part.fate, len(basis), *_writes.expected(part.space, basis), len(pairs) // 2, *pairs)
    keys = [part.space.key(part.id) for part in parts]
    try:
        reply = yield from _objects.guarded(parts[0].space, parts[0].id, _scripts.transact.on(keys, *arguments))
    except CrossSlot as error:  # a node of a cluster, whose client does not know of it
        raise ValueError(
            f"a transaction on a Cluster needs all of its objects in one slot, and those of {', '.join(keys)} are not; "
            "give the backend a prefix with a {tag}, which keeps it in one slot"
        ) from error
    if reply[0] == _writes.NOT_FOR_A_SCRIPT:
        parts[0].space.dialect.sha1hex = False
        return (yield from _transact(parts, outcomes))
    return cast(list[Any], reply)
