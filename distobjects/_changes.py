"""What a watcher is told. A name only, until watching arrives."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


class Change(NamedTuple, Generic[M]):
    """A change of an object: which fields, and its snapshots before and after; None where there was or is none."""

    id: str
    fields: frozenset[str]
    before: M | None
    after: M | None
