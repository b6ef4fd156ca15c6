"""`AsyncObjects[M]`: the twin of `Objects[M]` for asyncio, method by method."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Generic, TypeVar, cast, overload

from pydantic import BaseModel

from . import _arguments, _async_lock, _bulk, _edits, _objects, _watches, _writes
from ._async_handles import AsyncFieldHandle
from ._async_live import AsyncDObject, AsyncHome
from ._async_near_live import NearAsyncDObject
from ._binding import Binding
from ._bulk import Fault
from ._changes import Change
from ._flow import Flow
from ._generated import live_class, make_live
from ._near_reads import value_of
from ._prepared import Prepared, PreparedRead, PreparedWhole
from ._retry import Lost
from ._rows import Row
from ._space import Id, Space
from ._tally import Tally, Tell
from .errors import NotFound

M = TypeVar("M", bound=BaseModel)
K = TypeVar("K", bound=Id)  # a Mapping is invariant in its keys: one of str is none of Id
D = TypeVar("D")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
X = TypeVar("X")


class AsyncObjects(Generic[M]):
    """All objects of one model in one store, for asyncio; `backend.objects(Model)` makes it.

    The methods, their arguments, commands, round trips and errors are those of `Objects`.
    """

    def __init__(self, backend: AsyncHome, space: Space, *, near: bool = True) -> None:
        self._backend = backend
        self._space = space
        self._near = backend._nearby(space) if near else None
        self._whole = PreparedWhole(space)
        self._reads: dict[tuple[Any, ...], PreparedRead] = {}  # by the references that were asked for

    # ---- one object

    def __getitem__(self, id: Id | AsyncDObject) -> AsyncDObject:
        """Return the live object of this id, whether it is there or not. No I/O."""
        if self._near is not None:
            return NearAsyncDObject(self._backend, self._space, self.id_of(id), self._near)
        return AsyncDObject(self._backend, self._space, self.id_of(id))

    def id_of(self, live: Id | AsyncDObject) -> str:
        """Return the id of a live object, as text. No I/O.

        Raises:
            ValueError: the object lives elsewhere.
        """
        return _arguments.id_of(self._space, self._backend, live)

    async def create(self, value: M, *, id: Id | None = None) -> AsyncDObject:
        """Store a new object with all its fields and return it, live. One round trip: a script (`EXISTS`, `HSET`).

        Args:
            id: where the value carries none; without either, a new UUIDv7.

        Raises:
            AlreadyExists: something is stored under this id; it is left as it is.
            ValidationError: the value has been changed into what the model refuses.
            ValueError: `id` is another than the value's own.
        """
        chosen, whole = _arguments.identified(self._space, value, id)
        await self._store(chosen, whole, self._whole.inserting, _objects.create)
        return self[chosen]

    async def put(self, value: M, *, id: Id | None = None) -> AsyncDObject:
        """Create the object or replace it whole and return it, live; its TTL and unknown hash fields go.

        One round trip: a script (`DEL`, `HSET`). No reader sees a mixture of old and new.
        """
        chosen, whole = _arguments.identified(self._space, value, id)
        await self._store(chosen, whole, self._whole.replacing, _objects.put)
        return self[chosen]

    async def get_or_create(self, value: M, *, id: Id | None = None) -> AsyncDObject:
        """Return the live object of this id; store `value` first where there is none. One round trip: a script."""
        chosen, whole = _arguments.identified(self._space, value, id)
        await self._store(chosen, whole, self._whole.inserting, _objects.get_or_create, fine=(1, 0))
        return self[chosen]

    @overload
    async def get(self, id: Id | AsyncDObject) -> M: ...
    @overload
    async def get(self, id: Id | AsyncDObject, default: D) -> M | D: ...
    async def get(self, id: Id | AsyncDObject, default: Any = _arguments.MISSING) -> Any:
        """Return a snapshot: a plain instance of the model. One round trip: `HMGET` or `HGETALL`.

        Raises:
            NotFound: there is no such object, and no `default`.
            CorruptData: what is stored is not what the model says.
        """
        try:
            return await self._get(self.id_of(id))
        except NotFound:
            if default is _arguments.MISSING:
                raise
            return default

    async def _get(self, id: str) -> BaseModel:
        """The twin of `Whole.get`."""
        getting = self._whole.getting
        if getting is None or (channel := self._backend._channel()) is None:
            return await self._backend.run(_objects.get(self._space, id))
        reply = await _ended(channel.send(getting.command(id)))
        if (found := self._whole.load(id, reply)) is not None:
            return found
        return cast(BaseModel, await self._backend._resume(_objects.get(self._space, id), reply))

    async def _store(
        self,
        id: str,
        value: BaseModel,
        storing: Prepared,
        flow: Callable[[Space, str, BaseModel, Row | None], Flow[object]],
        fine: tuple[int, ...] = (1,),
    ) -> None:
        """The twin of `Whole._store`."""
        row = self._whole.dump(value)
        if row is None or (channel := self._backend._channel()) is None:
            await self._backend.run(flow(self._space, id, value, None))
            return
        reply = await _ended(channel.send(storing.command(id, *row)))
        if reply not in fine:
            await self._backend._resume(flow(self._space, id, value, row), reply)

    @overload
    async def read(self, id: Id | AsyncDObject, field: A, /, *, fresh: bool = ...) -> A: ...
    @overload
    async def read(self, id: Id | AsyncDObject, field: A, field2: B, /, *, fresh: bool = ...) -> tuple[A, B]: ...
    @overload
    async def read(
        self, id: Id | AsyncDObject, field: A, field2: B, field3: C, /, *, fresh: bool = ...
    ) -> tuple[A, B, C]: ...
    @overload
    async def read(
        self, id: Id | AsyncDObject, field: A, field2: B, field3: C, field4: E, /, *, fresh: bool = ...
    ) -> tuple[A, B, C, E]: ...
    @overload
    async def read(
        self,
        id: Id | AsyncDObject,
        field: Any,
        field2: Any,
        field3: Any,
        field4: Any,
        field5: Any,
        /,
        *fields: Any,
        fresh: bool = ...,
    ) -> tuple[Any, ...]: ...
    async def read(self, id: Any, /, *fields: Any, fresh: bool = False) -> Any:
        """Return one field's value, or several as a tuple, by references such as `F(Student).age`.

        One round trip: `HGET` or `HMGET`; a second where all are nil. A path reads its field and selects from it.

        Args:
            fresh: ask the server, whatever a near cache has.
        """
        try:
            read = self._reads.get(fields) or self._prepare(fields)
        except TypeError:  # what is no reference, and what cannot be hashed, is refused below
            read = None
        if read is not None and (channel := self._backend._channel()) is not None:
            # The hot path: no frame between this task and its reply.
            chosen = id if type(id) is str and id and id.isascii() else self.id_of(id)
            reply: Any
            try:
                reply = await channel.send(read.command(chosen))
            except Lost as lost:
                reply = lost
            if type(reply) is bytes:
                try:
                    return read.decode(reply)
                except Exception:  # noqa: BLE001  # the flow decodes it again, and says what is wrong with it
                    pass
            return await self._backend._resume(_objects.read(self._space, chosen, read.name), reply)
        if self._near is not None and not fresh:
            chosen = self.id_of(id)
            paths = _arguments.paths_of(self._space, fields)
            if (entry := await self._near.entry(chosen)) is not None:
                names = _arguments.stored_names(paths)
                values = {name: value_of(self._space, chosen, entry.raws, name) for name in names}
                return _arguments.selected(self._space, chosen, values, paths)
        return await self._backend.run(_arguments.reading(self._space, self.id_of(id), fields))

    def _prepare(self, fields: tuple[Any, ...]) -> PreparedRead | None:
        """Prepare the read of one whole field, where no near cache is in the way; None of anything else."""
        prepared = _arguments.prepared_read(self._space, fields) if self._near is None else None
        if prepared is not None:
            self._reads[fields] = prepared
        return prepared

    def field(self, id: Id | AsyncDObject, field: V) -> AsyncFieldHandle[V]:
        """Return a handle on one field, by its reference. No I/O."""
        return AsyncFieldHandle(
            self._backend, self._space, self.id_of(id), _arguments.field_of(self._space.schema, field)
        )

    async def update(self, id: Id | AsyncDObject, changes: Mapping[str, Any] | BaseModel) -> None:
        """Write several fields at once: all, or none where one is invalid. One round trip; two for a cross-field model.

        Args:
            changes: values by field name, or an instance of any model, whose set fields count.

        Raises:
            NotFound: there is no such object.
            UnknownField, ValidationError: nothing was sent.
        """
        await self._backend.run(_writes.write(self._space, self.id_of(id), _arguments.changes(changes)))

    @asynccontextmanager
    async def edit(self, id: Id | AsyncDObject) -> AsyncGenerator[M, None]:
        """Give a draft, and commit what the block changes in one step when it ends; see `Objects.edit`."""
        draft = await self._backend.run(_edits.open_edit(self._space, self.id_of(id)))
        yield cast(M, draft)
        await self._backend.run(_edits.commit_edit(draft))

    async def mutate(self, id: Id | AsyncDObject, change: Callable[[M], object]) -> M:
        """Commit what `change` does to a draft, again after each conflict, and return a snapshot of it."""
        return cast(M, await self._backend.run(_edits.mutate(self._space, self.id_of(id), change)))

    async def delete(self, id: Id | AsyncDObject) -> bool:
        """Delete the object; return whether it was there. One round trip: `DEL`."""
        return await self._backend.run(_objects.delete(self._space, self.id_of(id)))

    async def exists(self, id: Id | AsyncDObject) -> bool:
        """Return whether the object is there. One round trip: `EXISTS`."""
        return await self._backend.run(_objects.exists(self._space, self.id_of(id)))

    @asynccontextmanager
    async def lock(
        self, id: Id | AsyncDObject, *, lease_seconds: float = 10.0, wait_seconds: float = 10.0
    ) -> AsyncGenerator[None, None]:
        """Hold a lock beside the object, for what no single write can do; it hinders nobody who does not ask for it.

        redis-py's lock (`SET NX PX` and scripts), with a lease that a task extends while the block runs: it ends by
        itself when this process dies. On one server it is safe; a failover can give it away.

        Args:
            lease_seconds: after how long without an extension it ends.
            wait_seconds: how long to wait for another holder.

        Raises:
            Conflict: another holder kept it for `wait_seconds`, or, after the block, the lease was lost while it ran.
        """
        chosen = self.id_of(id)
        lease = self._backend.lease(self._space.sub_key("lock", chosen), lease_seconds, wait_seconds)
        if not await lease.acquire():
            raise _async_lock.taken(self._space, chosen, wait_seconds)
        async with _async_lock.kept(lease, lease_seconds):
            try:
                yield
            finally:
                held = await lease.release()
        if not held:
            raise _async_lock.lost(self._space, chosen)

    # ---- time to live

    async def expire(self, id: Id | AsyncDObject, *, seconds: float) -> bool:
        """Delete the object after `seconds`; return whether it is there. One round trip: `PEXPIRE`.

        A fraction is rounded down to the millisecond. Writing to the object changes nothing about it; `put` ends it.
        """
        return await self._backend.run(_objects.expire(self._space, self.id_of(id), seconds=seconds))

    async def ttl(self, id: Id | AsyncDObject) -> float | None:
        """Return the seconds that the object has left, None where it stays for good. One round trip: `PTTL`.

        Raises:
            NotFound: there is no such object.
        """
        return await self._backend.run(_objects.ttl(self._space, self.id_of(id)))

    async def persist(self, id: Id | AsyncDObject) -> bool:
        """Keep the object for good; return whether it had a time to live. One round trip: `PERSIST`."""
        return await self._backend.run(_objects.persist(self._space, self.id_of(id)))

    # ---- many objects

    async def create_many(
        self, values: Mapping[K, M] | Iterable[M] | AsyncIterable[M], *, on_progress: Tell | None = None
    ) -> list[str]:
        """Store new objects and return their ids, in order. One round trip for each 1,000, each object atomically.

        Args:
            values: by id, or values that carry their id; one without gets a new UUIDv7. Taken as they are needed.
            on_progress: called with how many are done and how many there are, None until that is known; `progress()`
                makes one that writes to the terminal.

        Raises:
            AlreadyExists: its `ids` were taken and left as they are; all others are stored.
            ValidationError: of changed values, each error in its place below the id; the others of their 1,000 and all
                before are stored, and none after.
            DistObjectsError: its `ids` were not stored, or, if it is OutcomeUnknown, perhaps not; all before are, and
                none after.
        """
        tally = Tally(values, on_progress)
        make = partial(_bulk.create_many, self._space, tally=tally)
        return _bulk.stored(self._space, [part async for part in self._each(make, self._identified(values), tally)])

    async def put_many(
        self, values: Mapping[K, M] | Iterable[M] | AsyncIterable[M], *, on_progress: Tell | None = None
    ) -> list[str]:
        """Create or replace whole objects and return their ids, in order. One round trip for each 1,000.

        Arguments and errors are those of `create_many`.
        """
        tally = Tally(values, on_progress)
        make = partial(_bulk.put_many, self._space, tally=tally)
        return _bulk.stored(self._space, [part async for part in self._each(make, self._identified(values), tally)])

    async def get_many(
        self, ids: Iterable[Id | AsyncDObject] | AsyncIterable[Id | AsyncDObject], *, on_progress: Tell | None = None
    ) -> list[M | None]:
        """Return snapshots in order, None for what is absent. One round trip for each 1,000."""
        tally = Tally(ids, on_progress)
        parts = self._each(partial(_bulk.get_many, self._space), self._pages(ids), tally)
        return cast(list[M | None], [value async for part in parts for value in part])

    @overload
    async def read_many(
        self,
        ids: Iterable[Id | AsyncDObject] | AsyncIterable[Id | AsyncDObject],
        field: A,
        /,
        *,
        on_progress: Tell | None = ...,
    ) -> list[A | None]: ...
    @overload
    async def read_many(
        self,
        ids: Iterable[Id | AsyncDObject] | AsyncIterable[Id | AsyncDObject],
        field: A,
        field2: B,
        /,
        *,
        on_progress: Tell | None = ...,
    ) -> list[tuple[A, B] | None]: ...
    @overload
    async def read_many(
        self,
        ids: Iterable[Id | AsyncDObject] | AsyncIterable[Id | AsyncDObject],
        field: A,
        field2: B,
        field3: C,
        /,
        *,
        on_progress: Tell | None = ...,
    ) -> list[tuple[A, B, C] | None]: ...
    @overload
    async def read_many(
        self,
        ids: Iterable[Id | AsyncDObject] | AsyncIterable[Id | AsyncDObject],
        field: Any,
        field2: Any,
        field3: Any,
        field4: Any,
        /,
        *fields: Any,
        on_progress: Tell | None = ...,
    ) -> list[tuple[Any, ...] | None]: ...
    async def read_many(self, ids: Any, /, *fields: Any, on_progress: Tell | None = None) -> Any:
        """Return fields of many objects in order, as `read` does, None for what is absent."""
        tally = Tally(ids, on_progress)
        parts = self._each(_arguments.reading_many(self._space, fields), self._pages(ids), tally)
        return [value async for part in parts for value in part]

    async def delete_many(
        self, ids: Iterable[Id | AsyncDObject] | AsyncIterable[Id | AsyncDObject], *, on_progress: Tell | None = None
    ) -> int:
        """Delete objects; return how many were there. One round trip for each 1,000.

        Raises:
            DistObjectsError: its `ids` were not deleted, or, if it is OutcomeUnknown, perhaps not; all before are.
        """
        tally = Tally(ids, on_progress)
        parts = self._each(partial(_bulk.delete_many, self._space, tally=tally), self._pages(ids), tally)
        return sum([part async for part in parts])

    # ---- all objects

    async def ids(self) -> AsyncIterator[str]:
        """Yield the id of every object; `async for id in objects.ids()`. One round trip for each page: `SCAN`."""
        async for page in self._pages():
            for id in page:
                yield id

    async def count(self) -> int:
        """Count the objects by going through their keys, page by page."""
        return sum([len(page) async for page in self._pages()])

    async def stream(
        self,
        ids: Iterable[Id | AsyncDObject] | AsyncIterable[Id | AsyncDObject] | None = None,
        *,
        on_progress: Tell | None = None,
    ) -> AsyncIterator[tuple[str, M]]:
        """Yield id and snapshot of every object, or of these, in constant memory; what is absent is left out.

        While the first 1,000 are used, the next are on their way; whoever ends early has asked for no more than them.
        """
        tally = Tally(ids, on_progress)
        async with aclosing(self._each(partial(_bulk.snapshots, self._space), self._pages(ids), tally)) as parts:
            async for part in parts:
                for pair in cast(list[tuple[str, M]], part):
                    yield pair

    async def audit(
        self,
        ids: Iterable[Id | AsyncDObject] | AsyncIterable[Id | AsyncDObject] | None = None,
        *,
        on_progress: Tell | None = None,
    ) -> AsyncIterator[Fault]:
        """Yield every object, or those of these, whose whole model refuses what is stored, and why."""
        tally = Tally(ids, on_progress)
        async with aclosing(self._each(partial(_bulk.audit, self._space), self._pages(ids), tally)) as parts:
            async for part in parts:
                for fault in part:
                    yield fault

    def watch(
        self,
        id: Id | AsyncDObject | None = None,
        *,
        fields: Iterable[Any] = (),
        initial: bool = False,
        poll_seconds: float = 0.5,
    ) -> AsyncGenerator[Change[M], None]:
        """Yield the changes of one object, or of all, by whomever; see `Objects.watch`. Nothing to await before `for`.

        Cancelling the task ends it. After a `break`, the event loop closes the connection when it next can;
        `contextlib.aclosing` does so at once.
        """
        names = [_arguments.field_of(self._space.schema, each) for each in fields]
        ids = None if id is None else [self.id_of(id)]
        return self._changes(_watches.View(self._space, ids, names, initial=initial), poll_seconds)

    async def _changes(self, view: _watches.View, poll_seconds: float) -> AsyncGenerator[Change[M], None]:
        async with aclosing(self._backend._differences(view.watching, poll_seconds)) as differences:
            async for difference in differences:
                if (change := view.change(difference)) is not None:
                    yield change

    @asynccontextmanager
    async def mirror(
        self, id: Id | AsyncDObject, *, lease_seconds: float = 2.0, poll_seconds: float = 0.5
    ) -> AsyncGenerator[M, None]:
        """Give a local copy that is kept fresh by a task: reading it is memory, and needs no `await`.

        It passes for the model as a live object does; its methods and properties run on what is there now. Nothing can
        be assigned, since that could not be awaited: `edit` and `update` can write.

        Args:
            lease_seconds: how old a value may be at most: then reading it raises.
            poll_seconds: how often to look where the store tells nobody what changes.

        Raises:
            StoreUnavailable: the server cannot be reached at the beginning; at a read, that nothing has been heard
                for longer than the lease, because the network is silent or the event loop was blocked.
        """
        async with self.mirror_many([id], lease_seconds=lease_seconds, poll_seconds=poll_seconds) as local:
            [one] = local.values()
            yield one

    @asynccontextmanager
    async def mirror_many(
        self, ids: Iterable[Id | AsyncDObject], *, lease_seconds: float = 2.0, poll_seconds: float = 0.5
    ) -> AsyncGenerator[dict[str, M], None]:
        """Give local copies by id that are kept fresh by a task, over one connection; see `mirror`."""
        chosen = list(dict.fromkeys(map(self.id_of, ids)))
        async with self._backend._mirrored(self._space, chosen, lease_seconds, poll_seconds) as backend:
            local = live_class(Binding(backend, self._space))
            yield {id: cast(M, make_live(local, id)) for id in chosen}

    def _each(
        self, make: Callable[[list[X]], Flow[V]], chunked: AsyncIterable[list[X]], tally: Tally
    ) -> AsyncGenerator[V, None]:
        return self._backend._each(_flows(make, chunked, tally))

    async def _pages(
        self, ids: Iterable[Id | AsyncDObject] | AsyncIterable[Id | AsyncDObject] | None = None
    ) -> AsyncIterator[list[str]]:
        if ids is not None:
            async for chunk in _chunks(ids):
                yield _arguments.ids_of(self._space, self._backend, chunk)
            return
        cursor = -1
        while cursor:
            cursor, page = await self._backend.run(_bulk.scan(self._space, max(cursor, 0)))
            yield page

    async def _identified(
        self, values: Mapping[K, M] | Iterable[M] | AsyncIterable[M]
    ) -> AsyncIterator[list[tuple[str, BaseModel]]]:
        keyed = isinstance(values, Mapping)
        async for chunk in _chunks(_arguments.items_of(values)):
            yield _arguments.identified_many(self._space, chunk, keyed=keyed)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}[{self._space.schema.name}] {self._space.stem!r}>"


async def _ended(sent: Awaitable[Any]) -> Any:
    """Return how a command that was sent has ended, as `Runner.send` does: the raw reply, or `Lost`."""
    try:
        return await sent
    except Lost as lost:
        return lost


async def _flows(
    make: Callable[[list[X]], Flow[V]], chunked: AsyncIterable[list[X]], tally: Tally
) -> AsyncIterator[Flow[V]]:
    """The twin of `_bulk.flows`."""
    async for chunk in chunked:
        if chunk:
            yield tally.flow(make(chunk), len(chunk))
    tally.end()


async def _chunks(items: Iterable[X] | AsyncIterable[X]) -> AsyncIterator[list[X]]:
    """The twin of `_bulk.chunks`."""
    if not isinstance(items, AsyncIterable):
        for chunk in _bulk.chunks(items):
            yield chunk
        return
    chunk = list[X]()
    async for item in items:
        chunk.append(item)
        if len(chunk) == _bulk.CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
