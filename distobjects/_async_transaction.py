"""Several objects at once, for asyncio: what `AsyncRedisBackend.transaction` gives."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from pydantic import BaseModel

from . import _arguments
from ._async_collection import AsyncObjects
from ._async_live import AsyncBackend, AsyncDObject
from ._space import Id, Space
from ._transactions import Parts

M = TypeVar("M", bound=BaseModel)


class AsyncTransaction:
    """Objects that are read and changed together, and committed in one step or not at all."""

    def __init__(self, backend: AsyncBackend, parts: Parts) -> None:
        self._backend = backend
        self._parts = parts

    async def edit(self, objects: AsyncObjects[M], id: Id | AsyncDObject) -> M:
        """Return a draft of an object; what is changed in it is committed with the rest. One round trip.

        Raises:
            NotFound: there is no such object.
        """
        return cast(M, await self._backend.run(self._parts.draft(self._space(objects), objects.id_of(id))))

    async def get(self, objects: AsyncObjects[M], id: Id | AsyncDObject) -> M:
        """Return a snapshot of an object, which must still be so when the rest is committed. One round trip."""
        return cast(M, await self._backend.run(self._parts.snapshot(self._space(objects), objects.id_of(id))))

    def create(self, objects: AsyncObjects[M], value: M, *, id: Id | None = None) -> str:
        """Store a new object with the rest, unless something is there; return its id. No I/O before the commit."""
        space = self._space(objects)
        chosen, whole = _arguments.identified(space, value, id)
        self._parts.create(space, chosen, whole)
        return chosen

    def delete(self, objects: AsyncObjects[M], id: Id | AsyncDObject) -> None:
        """Delete an object with the rest. No I/O before the commit, which raises `NotFound` where there is none."""
        self._parts.delete(self._space(objects), objects.id_of(id))

    def _space(self, objects: AsyncObjects[Any]) -> Space:
        if objects._backend is not self._backend:
            raise ValueError(f"{objects!r} lives in another store; a transaction is of one")
        return objects._space
