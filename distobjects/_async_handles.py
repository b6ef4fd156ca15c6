"""One field of one object, typed by its reference; the twin of `_handles` for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast, overload

from . import _appends, _objects, _writes
from ._async_live import AsyncBackend
from ._space import Space

T = TypeVar("T")
V = TypeVar("V")


class AsyncFieldHandle(Generic[V]):
    """A handle on one field, from `AsyncObjects.field`; no I/O until one of its methods is called.

    What `get` and `update` return are plain values: changing a list that they gave changes nothing that is stored.
    """

    __slots__ = ("_backend", "_id", "_name", "_space")

    def __init__(self, backend: AsyncBackend, space: Space, id: str, name: str) -> None:
        self._backend = backend
        self._space = space
        self._id = id
        self._name = name

    async def get(self) -> V:
        """Read the field, as an attribute read does. One round trip: `HGET`; a second where the reply is nil."""
        return cast(V, await self._backend.run(_objects.read(self._space, self._id, self._name)))

    async def set(self, value: V) -> None:
        """Validate and write the field, as an attribute write does. One round trip; two for a cross-field model."""
        await self._backend.run(_writes.write(self._space, self._id, {self._name: cast(Any, value)}))

    @overload
    async def increment(self: AsyncFieldHandle[int], by: int = 1) -> int: ...
    @overload
    async def increment(self: AsyncFieldHandle[float], by: float = 1) -> float: ...
    @overload
    async def increment(self: AsyncFieldHandle[Decimal], by: Decimal | int = 1) -> Decimal: ...
    async def increment(self: AsyncFieldHandle[Any], by: Any = 1) -> Any:
        """Add to a number where it lives and return the sum. One round trip: a script; up to three if it cannot.

        Raises:
            ValidationError: a constraint refuses the sum; nothing changed.
            NotFound: there is no such object.
        """
        return await self._backend.run(_writes.increment(self._space, self._id, self._name, by))

    async def append(self: AsyncFieldHandle[list[T]], item: T) -> None:
        """Append an item to a list, as `extend` does."""
        await self._backend.run(_appends.extend(self._space, self._id, self._name, (item,)))

    async def extend(self: AsyncFieldHandle[list[T]], items: Iterable[T]) -> None:
        """Append items to a list where it lives. One round trip: a script; up to three if it cannot.

        Raises:
            ValidationError: the model refuses an item; nothing changed.
            NotFound: there is no such object.
        """
        await self._backend.run(_appends.extend(self._space, self._id, self._name, items))

    async def compare_and_set(self, old: V, new: V) -> bool:
        """Write `new` if the field holds `old`; return whether. Two round trips: a read and a script.

        Raises:
            ValidationError: the model refuses `new`; nothing has been sent.
        """
        return await self._backend.run(_writes.compare_and_set(self._space, self._id, self._name, old, new))

    async def update(self, change: Callable[[V], V]) -> V:
        """Write what `change` makes of the value and return it. Two round trips: a read and a script, until it holds.

        Args:
            change: is called again when somebody else was faster, with what is stored then.

        Raises:
            Conflict: others kept changing it for 5 seconds; nothing was written.
        """
        return cast(V, (await self._backend.run(_writes.change(self._space, self._id, self._name, change))).value)
