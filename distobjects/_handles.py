"""One field of one object, typed by its reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast, overload

from . import _appends, _objects, _writes
from ._binding import Backend
from ._space import Space

T = TypeVar("T")
V = TypeVar("V")


class FieldHandle(Generic[V]):
    """A handle on one field, from `Objects.field`; no I/O until one of its methods is called.

    What `get` and `update` return are plain values: changing a list that they gave changes nothing that is stored.
    """

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
        self._backend.run(_writes.write(self._space, self._id, {self._name: cast(Any, value)}))

    @overload
    def increment(self: FieldHandle[int], by: int = 1) -> int: ...
    @overload
    def increment(self: FieldHandle[float], by: float = 1) -> float: ...
    @overload
    def increment(self: FieldHandle[Decimal], by: Decimal | int = 1) -> Decimal: ...
    def increment(self: FieldHandle[Any], by: Any = 1) -> Any:
        """Add to a number where it lives and return the sum. One round trip: a script; up to three if it cannot.

        Raises:
            ValidationError: a constraint refuses the sum; nothing changed.
            NotFound: there is no such object.
        """
        return self._backend.run(_writes.increment(self._space, self._id, self._name, by))

    def append(self: FieldHandle[list[T]], item: T) -> None:
        """Append an item to a list, as `extend` does."""
        self._backend.run(_appends.extend(self._space, self._id, self._name, (item,)))

    def extend(self: FieldHandle[list[T]], items: Iterable[T]) -> None:
        """Append items to a list where it lives. One round trip: a script; up to three if it cannot.

        Raises:
            ValidationError: the model refuses an item; nothing changed.
            NotFound: there is no such object.
        """
        self._backend.run(_appends.extend(self._space, self._id, self._name, items))

    def compare_and_set(self, old: V, new: V) -> bool:
        """Write `new` if the field holds `old`; return whether. Two round trips: a read and a script.

        Raises:
            ValidationError: the model refuses `new`; nothing has been sent.
        """
        return self._backend.run(_writes.compare_and_set(self._space, self._id, self._name, old, new))

    def update(self, change: Callable[[V], V]) -> V:
        """Write what `change` makes of the value and return it. Two round trips: a read and a script, until it holds.

        Args:
            change: is called again when somebody else was faster, with what is stored then.

        Raises:
            Conflict: others kept changing it for 5 seconds; nothing was written.
        """
        return cast(V, self._backend.run(_writes.change(self._space, self._id, self._name, change)).value)
