"""The live object for asyncio: `await a.age` reads one field. Dynamic: its methods could not await for the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from . import _objects
from ._binding import Backend
from ._containers import ATOMS, wrap
from ._flow import Flow
from ._prepared import prepared
from ._retry import Lost
from ._schema import IDENTITY
from ._space import Space
from ._steps import FrozenRoot
from ._watching import Difference, Watching

if TYPE_CHECKING:
    from ._async_channel import Channel
    from ._async_near_links import AsyncNearby

T = TypeVar("T")
V = TypeVar("V")


class AsyncBackend(Protocol):
    """What a live object needs of its backend."""

    async def run(self, flow: Flow[T]) -> T: ...
    def lease(self, key: str, lease_seconds: float, wait_seconds: float) -> Any: ...
    def _nearby(self, space: Space) -> AsyncNearby | None: ...
    @property
    def _channel(self) -> Callable[[], Channel | None]: ...
    @property
    def _resume(self) -> Callable[[Flow[Any], Any], Awaitable[Any]]: ...
    def pickled(self, space: Space, id: str) -> tuple[Any, ...]: ...


class AsyncHome(AsyncBackend, Protocol):
    """What all objects of a model need of it."""

    def _each(self, flows: AsyncIterable[Flow[T]]) -> AsyncGenerator[T, None]: ...
    def _differences(self, watching: Watching, poll_seconds: float) -> AsyncGenerator[Difference, None]: ...
    def _mirrored(
        self, space: Space, ids: Collection[str], lease_seconds: float, poll_seconds: float
    ) -> AbstractAsyncContextManager[Backend]: ...


class AsyncDObject:
    """A live object for asyncio: attributes are awaited, and written through `AsyncObjects`.

    Example: `await a.age`; to write, `await people.update(a, {"age": 12})` or `await people.field(a, S.age).set(12)`.
    """

    __slots__ = ("__weakref__", "_backend", "_id", "_space")

    _backend: AsyncBackend
    _space: Space
    _id: str

    def __init__(self, backend: AsyncBackend, space: Space, id: str) -> None:
        object.__setattr__(self, "_backend", backend)
        object.__setattr__(self, "_space", space)
        object.__setattr__(self, "_id", id)

    def __getattr__(self, name: str) -> Awaitable[Any]:
        schema = self._space.schema
        if name in schema.fields:
            return self._read(name)
        if name == IDENTITY and schema.identity:
            return _ready(schema.identity_of(self._id))
        raise schema.unknown(name)

    async def _read(self, name: str) -> Any:
        backend, space, id = self._backend, self._space, self._id
        if (channel := backend._channel()) is None:
            return self._handed_out(name, await backend.run(_objects.read(space, id, name)))
        # The hot path: no frame between this task and its reply.
        read = space.prepared.get(name) or prepared(space, name)
        reply: Any
        try:
            reply = await channel.send(read.command(id))
        except Lost as lost:
            reply = lost
        if type(reply) is bytes:
            try:
                value = read.decode(reply)
            except Exception:  # noqa: BLE001  # the flow decodes it again, and says what is wrong with it
                pass
            else:
                return value if type(value) in ATOMS else self._handed_out(name, value)
        return self._handed_out(name, await backend._resume(_objects.read(space, id, name), reply))

    def _handed_out(self, name: str, value: Any) -> Any:
        if type(value) in ATOMS:
            return value
        way_out = f"write it with `await objects.field(live, F({self._space.schema.name}).{name}).update(...)`"
        return wrap(FrozenRoot(way_out), (), None, value)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self._space.schema.fields:
            raise self._space.schema.unknown(name)
        raise AttributeError(
            f"assignment cannot be awaited; write {name!r} with `await objects.update(live, {{{name!r}: ...}})` "
            f"or `await objects.field(live, F({self._space.schema.name}).{name}).set(...)`"
        )

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *self._space.schema.fields]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncDObject) and self._place() == other._place()

    def __hash__(self) -> int:
        return hash(self._place())

    def _place(self) -> tuple[int, str]:
        return id(self._backend), self._space.key(self._id)

    def __repr__(self) -> str:
        return f"<live {self._space.schema.name} {self._space.key(self._id)!r}>"

    def __copy__(self) -> AsyncDObject:
        return self

    def __deepcopy__(self, memo: object) -> AsyncDObject:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return self._backend.pickled(self._space, self._id)


async def _ready(value: T) -> T:
    return value
