"""What a watcher is told."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


class Change(NamedTuple, Generic[M]):
    """A change of an object, from `watch`.

    Attributes:
        fields: the names of those that have changed; all that are stored, where the object came or went.
        before: a snapshot of what was seen last; None where the object was not there, and where a whole space is
            watched, of which no more than a digest is kept.
        after: a snapshot; None where the object is gone.
    """

    id: str
    fields: frozenset[str]
    before: M | None
    after: M | None
