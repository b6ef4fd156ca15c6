"""One field of one object, typed by its reference."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from . import _objects
from ._binding import Backend
from ._space import Space

V = TypeVar("V")


class FieldHandle(Generic[V]):
    """A handle on one field, from `Objects.field`; no I/O until one of its methods is called."""

    __slots__ = ("_backend", "_id", "_name", "_space")

    def __init__(self, backend: Backend, space: Space, id: str, name: str) -> None:
        self._backend = backend
        self._space = space
        self._id = id
        self._name = name

    def get(self) -> V:
        """Read the field, as an attribute read does. One round trip: `HGET`; a second where the reply is nil."""
        return cast(V, self._backend.run(_objects.read(self._space, self._id, self._name)))

    def set(self, value: V) -> None:
        """Validate and write the field, as an attribute write does. One round trip; two for a cross-field model."""
        self._backend.run(_objects.write(self._space, self._id, {self._name: cast(Any, value)}))
