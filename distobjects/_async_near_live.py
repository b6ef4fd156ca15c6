"""The live object for asyncio that is read from the near cache where that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._async_live import AsyncBackend, AsyncDObject
from ._near_reads import value_of
from ._space import Space

if TYPE_CHECKING:
    from ._async_near_links import AsyncNearby


class NearAsyncDObject(AsyncDObject):
    """A live object whose awaited attributes are memory, as a rule."""

    __slots__ = ("_nearby",)

    _nearby: AsyncNearby

    def __init__(self, backend: AsyncBackend, space: Space, id: str, nearby: AsyncNearby) -> None:
        super().__init__(backend, space, id)
        object.__setattr__(self, "_nearby", nearby)

    async def _read(self, name: str) -> Any:
        entry = await self._nearby.entry(self._id)
        if entry is None:
            return await super()._read(name)
        return self._handed_out(name, value_of(self._space, self._id, entry.raws, name))
