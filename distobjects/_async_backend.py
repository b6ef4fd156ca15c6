"""`AsyncRedisBackend` and `connect_async`: a store of objects, for asyncio."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from pydantic import BaseModel

from . import _stores
from ._async import AsyncRunner
from ._async_collection import AsyncObjects
from ._async_transaction import AsyncTransaction
from ._binding import Backend
from ._compiler import compile_schema
from ._flow import Flow
from ._near import Near
from ._schema import Schema
from ._space import Space, Spaces
from ._transactions import Parts
from ._turns import CONFLICT_SECONDS, Patience
from ._watching import Difference, Watching
from ._wire import is_sharded
from .errors import Conflict

if TYPE_CHECKING:
    from ._async_near_links import AsyncNearby

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

# What pickled live objects find their way back by; it keeps no backend alive.
_opened: weakref.WeakValueDictionary[tuple[str, str], AsyncRedisBackend] = weakref.WeakValueDictionary()


class AsyncRedisBackend:
    """A Redis or Valkey server as a store of typed objects, through a client of the user's.

    The client stays the user's: it is not closed with the backend, and its settings (`decode_responses`, protocol,
    pool, time-outs, TLS, Sentinel) are used as they are, but for its command retries, which would apply writes twice.

    Args:
        client: a client of `redis.asyncio` or `valkey.asyncio`, or an asyncio client of fakeredis.
        prefix: begins every key; one `{tag}` in it keeps the whole backend in one Cluster slot.
        near: keeps what attribute reads have read in memory, within these bounds; without it, each is a round trip.
        multiplex: all tasks of an event loop share one connection of the client's; False takes one from its pool for
            each round trip.

    Attributes:
        url: what `connect_async` opened, without credentials; None for a client that was handed over.

    Examples:
        >>> import redis.asyncio
        >>> from distobjects import AsyncRedisBackend
        >>> backend = AsyncRedisBackend(client=redis.asyncio.Redis(host="localhost", port=6379, db=5))
    """

    def __init__(self, client: Any, prefix: str = "", *, near: Near | None = None, multiplex: bool = True) -> None:
        self.url: str | None = None
        self._runner = AsyncRunner(lambda: client, near, multiplex=multiplex)
        self._channel, self._resume = self._runner.channel, self._runner.run
        self._spaces = Spaces(prefix, sharded=is_sharded(client))
        self._objects: dict[tuple[int, bool], Any] = {}
        self._store: _stores.Store | None = None

    @classmethod
    def _of(cls, store: _stores.Store, prefix: str, near: Near | None, multiplex: bool) -> Self:
        try:
            backend = cls(store.open(), prefix, near=near, multiplex=multiplex)
        except BaseException:  # a prefix or a URL that is refused must not leave an embedded server running
            store.close()
            raise
        backend.url, backend._store = store.url, store
        backend._runner.make_client = store.open
        return backend

    @property
    def client(self) -> Any:
        """The redis-py client of the running event loop."""
        return self._runner.client

    @property
    def prefix(self) -> str:
        """What every key begins with."""
        return self._spaces.prefix

    def objects(self, model: type[M], *, name: str | None = None, near: bool = True) -> AsyncObjects[M]:
        """Return all objects of a model. No I/O; a model is compiled at its first use.

        Args:
            name: of the space they live in; by default the name of the model.
            near: False lets reads of this model ask the server each time, though the backend has a near cache.

        Raises:
            InvalidModel: the model cannot be stored, or another one has this name here.
        """
        space = self.space(compile_schema(model), name)
        kind = id(space), near
        return cast(
            AsyncObjects[M],
            self._objects.get(kind) or self._objects.setdefault(kind, AsyncObjects(self, space, near=near)),
        )

    def space(self, schema: Schema, name: str | None) -> Space:
        """Return where the objects of a compiled model live."""
        return self._spaces.open(schema, name)

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end: what every operation goes through."""
        return await self._runner.run(flow)

    def _each(self, flows: AsyncIterable[Flow[T]]) -> AsyncGenerator[T, None]:
        """Run flows in turn and yield their values; what the next one reads first is asked for ahead."""
        return self._runner.each(flows)

    def _nearby(self, space: Space) -> AsyncNearby | None:
        """Return the part of the near cache that is for one space; None where there is none."""
        if self._runner.near is None:
            return None
        from ._async_near_links import AsyncNearby

        return AsyncNearby(self._runner, space)

    def _differences(self, watching: Watching, poll_seconds: float) -> AsyncGenerator[Difference, None]:
        """Yield what changes, until the backend is closed."""
        return self._runner.differences(watching, poll_seconds)

    @asynccontextmanager
    async def _mirrored(
        self, space: Space, ids: Collection[str], lease_seconds: float, poll_seconds: float
    ) -> AsyncGenerator[Backend, None]:
        """Give a backend that answers reads of these objects from memory, without `await`."""
        from ._async_mirrors import AsyncMirror

        def open_(watching: Watching, idle_seconds: float) -> Any:
            return self._runner.lookout(watching, idle_seconds, poll_seconds)

        mirror = AsyncMirror(self, space, ids, open_, lease_seconds)
        await mirror.begin()
        try:
            yield mirror
        finally:
            await mirror.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncTransaction, None]:
        """Read and change several objects, and commit all of it in one step when the block ends, or nothing.

        See `RedisBackend.transaction`; here `tx.edit` and `tx.get` are awaited.
        """
        parts = Parts(self._runner.refuse_slots)
        yield AsyncTransaction(self, parts)
        await self.run(parts.commit())

    async def transact(self, change: Callable[[AsyncTransaction], Awaitable[T]]) -> T:
        """Run `change` in a transaction, again after each conflict for 5 seconds, and return what it returns."""
        patience, started = Patience(), time.monotonic()
        while True:
            try:
                async with self.transaction() as tx:
                    result = await change(tx)
            except Conflict:
                await asyncio.sleep(patience.pause_seconds())
                patience.resume(elapsed := time.monotonic() - started)
                if elapsed > CONFLICT_SECONDS:
                    raise
            else:
                return result

    def lease(self, key: str, lease_seconds: float, wait_seconds: float) -> Any:
        """Return a lock on a key, not held yet; `Objects.lock` is the way to use one."""
        return self._runner.lease(key, lease_seconds, wait_seconds)

    def pickled(self, space: Space, id: str) -> tuple[Any, ...]:
        """Return what pickle keeps of a live object: model, name, id, and this store's URL without credentials."""
        if self.url is None:
            raise TypeError(
                f"a live {space.schema.name} of a client that was handed over cannot be pickled: nothing tells how to "
                "connect again; use connect_async(url), or pickle get(id) or the id"
            )
        return restore, (space.schema.model, space.name, id, self.url, self.prefix)

    async def close(self) -> None:
        """Close the connections, where `connect` opened them, and let go of the embedded server. Once is enough."""
        if self._runner.closed:
            return
        await self._runner.close(own=self._store is not None)
        if self._store is not None:
            self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncRedisBackend {self.url or self._runner.where}>"


def connect_async(
    url: str | None = None,
    *,
    prefix: str = "",
    connect_seconds: float = 1.0,
    operation_seconds: float = 5.0,
    near: Near | None = None,
    multiplex: bool = True,
) -> AsyncRedisBackend:
    """Open a store for asyncio. Nothing to await: no I/O but for starting an embedded server.

    The arguments are those of `connect`, and `multiplex` as in `AsyncRedisBackend`. A connection belongs to the event
    loop that opened it; each loop has its own.

    Raises:
        StoreUnavailable: the embedded server cannot be started.
    """
    timeouts = _stores.Timeouts(connect_seconds, operation_seconds)
    backend = AsyncRedisBackend._of(_stores.resolve(url, timeouts, asynchronous=True), prefix, near, multiplex)
    assert backend.url is not None
    _opened[backend.url, prefix] = backend
    return backend


def restore(model: type[BaseModel], name: str, id: str, url: str, prefix: str) -> Any:
    """Return the live object that was pickled, on the open backend of its URL or else on a new one."""
    backend = _opened.get((url, prefix))
    if backend is None or backend._runner.closed:
        backend = connect_async(url, prefix=prefix)
    return backend.objects(model, name=name)[id]
