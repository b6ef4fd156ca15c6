"""`Objects[M]`: all objects of a model. Signatures, docstrings, and one line each: the work is in the flows."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Generic, TypeVar, cast, overload

from pydantic import BaseModel

from . import _arguments, _bulk, _edits, _lock, _objects, _watches, _writes
from ._binding import Binding, Home
from ._bulk import Fault
from ._changes import Change
from ._flow import Flow
from ._generated import Generated, live_class, make_live
from ._handles import FieldHandle
from ._shortcut import Shortcut, Whole
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


class Objects(Generic[M]):
    """All objects of one model in one store; `backend.objects(Model)` makes it.

    Wherever an id is taken, a live object is taken too. Round trips are counted for an object that is there.
    """

    def __init__(self, backend: Home, space: Space, *, near: bool = True) -> None:
        self._backend = backend
        self._space = space
        self._near = backend._nearby(space) if near else None
        self._binding = Binding(backend, space)
        self._live: type[Generated] = live_class(self._binding, self._near)
        self._whole = Whole(backend, space)
        self._reads: dict[tuple[Any, ...], Shortcut] = {}  # by the reference, alone in its tuple

    # ---- one object

    def __getitem__(self, id: Id | M) -> M:
        """Return the live object of this id, whether it is there or not. No I/O."""
        return cast(M, make_live(self._live, self.id_of(id)))

    def id_of(self, live: Id | M) -> str:
        """Return the id of a live object, as text. No I/O.

        Raises:
            ValueError: the object lives elsewhere.
        """
        return _arguments.id_of(self._space, self._backend, live)

    def create(self, value: M, *, id: Id | None = None) -> M:
        """Store a new object with all its fields and return it, live. One round trip: a script (`EXISTS`, `HSET`).

        Args:
            id: where the value carries none; without either, a new UUIDv7.

        Raises:
            AlreadyExists: something is stored under this id; it is left as it is.
            ValidationError: the value has been changed into what the model refuses.
            ValueError: `id` is another than the value's own.
        """
        chosen, whole = _arguments.identified(self._space, value, id)
        self._whole.create(chosen, whole)
        return cast(M, make_live(self._live, chosen))

    def put(self, value: M, *, id: Id | None = None) -> M:
        """Create the object or replace it whole and return it, live; its TTL and unknown hash fields go.

        One round trip: a script (`DEL`, `HSET`). No reader sees a mixture of old and new.
        """
        chosen, whole = _arguments.identified(self._space, value, id)
        self._whole.put(chosen, whole)
        return cast(M, make_live(self._live, chosen))

    def get_or_create(self, value: M, *, id: Id | None = None) -> M:
        """Return the live object of this id; store `value` first where there is none. One round trip: a script."""
        chosen, whole = _arguments.identified(self._space, value, id)
        self._whole.get_or_create(chosen, whole)
        return cast(M, make_live(self._live, chosen))

    @overload
    def get(self, id: Id | M) -> M: ...
    @overload
    def get(self, id: Id | M, default: D) -> M | D: ...
    def get(self, id: Id | M, default: Any = _arguments.MISSING) -> Any:
        """Return a snapshot: a plain instance of the model. One round trip: `HMGET` or `HGETALL`.

        Raises:
            NotFound: there is no such object, and no `default`.
            CorruptData: what is stored is not what the model says.
        """
        try:
            return self._whole.get(self.id_of(id))
        except NotFound:
            if default is _arguments.MISSING:
                raise
            return default

    @overload
    def read(self, id: Id | M, field: A, /, *, fresh: bool = ...) -> A: ...
    @overload
    def read(self, id: Id | M, field: A, field2: B, /, *, fresh: bool = ...) -> tuple[A, B]: ...
    @overload
    def read(self, id: Id | M, field: A, field2: B, field3: C, /, *, fresh: bool = ...) -> tuple[A, B, C]: ...
    @overload
    def read(
        self, id: Id | M, field: A, field2: B, field3: C, field4: E, /, *, fresh: bool = ...
    ) -> tuple[A, B, C, E]: ...
    @overload
    def read(
        self,
        id: Id | M,
        field: Any,
        field2: Any,
        field3: Any,
        field4: Any,
        field5: Any,
        /,
        *fields: Any,
        fresh: bool = ...,
    ) -> tuple[Any, ...]: ...
    def read(self, id: Any, /, *fields: Any, fresh: bool = False) -> Any:
        """Return one field's value, or several as a tuple, by references such as `F(Student).age`.

        One round trip: `HGET` or `HMGET`; a second where all are nil. A path reads its field and selects from it.

        Args:
            fresh: ask the server, whatever a near cache has.
        """
        if self._near is not None and not fresh:
            chosen = self.id_of(id)
            paths = _arguments.paths_of(self._space, fields)
            if (entry := self._near.entry(chosen)) is not None:
                values = {name: self._near.value(entry, name) for name in _arguments.stored_names(paths)}
                return _arguments.selected(self._space, chosen, values, paths)
        try:
            shortcut = self._reads.get(fields) or self._prepare(fields)
        except TypeError:  # what is no reference, and what cannot be hashed, is refused below
            shortcut = None
        if shortcut is not None:
            return shortcut.read(self.id_of(id))[1]
        return self._backend.run(_arguments.reading(self._space, self.id_of(id), fields))

    def _prepare(self, fields: tuple[Any, ...]) -> Shortcut | None:
        """Prepare the read of one whole field; None of anything else."""
        prepared = _arguments.prepared_read(self._space, fields)
        if prepared is None:
            return None
        shortcut = self._reads[fields] = Shortcut(self._binding, prepared.name)
        return shortcut

    def field(self, id: Id | M, field: V) -> FieldHandle[V]:
        """Return a handle on one field, by its reference. No I/O."""
        return FieldHandle(self._backend, self._space, self.id_of(id), _arguments.field_of(self._space.schema, field))

    def update(self, id: Id | M, changes: Mapping[str, Any] | BaseModel) -> None:
        """Write several fields at once: all, or none where one is invalid. One round trip; two for a cross-field model.

        Args:
            changes: values by field name, or an instance of any model, whose set fields count.

        Raises:
            NotFound: there is no such object.
            UnknownField, ValidationError: nothing was sent.
        """
        self._backend.run(_writes.write(self._space, self.id_of(id), _arguments.changes(changes)))

    @contextmanager
    def edit(self, id: Id | M) -> Generator[M, None, None]:
        """Give a draft, and commit what the block changes in one step when it ends. Two round trips: a read, a script.

        The draft is local. What is assigned is validated at once, rules across fields at the end. Nothing is written
        when the block raises, or changes nothing.

        Raises:
            Conflict: somebody else has changed a field that the block read or changed; `mutate` retries.
            NotFound: there is no such object, or it has been deleted meanwhile.

        Examples:
            >>> from distobjects import connect
            >>> from pydantic import BaseModel
            >>> class Span(BaseModel):
            ...     low: int = 0
            ...     high: int = 9
            >>> spans = connect("memory://").objects(Span)
            >>> span = spans.create(Span())
            >>> with spans.edit(span) as draft:
            ...     draft.low, draft.high = draft.high, draft.high + 9
            >>> spans.get(span)
            Span(low=9, high=18)
        """
        draft = self._backend.run(_edits.open_edit(self._space, self.id_of(id)))
        yield cast(M, draft)
        self._backend.run(_edits.commit_edit(draft))

    def mutate(self, id: Id | M, change: Callable[[M], object]) -> M:
        """Commit what `change` does to a draft, again after each conflict, and return a snapshot of it.

        Two round trips: a read and a script; as many again for each conflict.

        Raises:
            Conflict: others kept changing it for 5 seconds; nothing was written.
        """
        return cast(M, self._backend.run(_edits.mutate(self._space, self.id_of(id), change)))

    def delete(self, id: Id | M) -> bool:
        """Delete the object; return whether it was there. One round trip: `DEL`."""
        return self._backend.run(_objects.delete(self._space, self.id_of(id)))

    def exists(self, id: Id | M) -> bool:
        """Return whether the object is there. One round trip: `EXISTS`."""
        return self._backend.run(_objects.exists(self._space, self.id_of(id)))

    def __contains__(self, id: Id | M) -> bool:
        return self.exists(id)

    @contextmanager
    def lock(
        self, id: Id | M, *, lease_seconds: float = 10.0, wait_seconds: float = 10.0
    ) -> Generator[None, None, None]:
        """Hold a lock beside the object, for what no single write can do; it hinders nobody who does not ask for it.

        redis-py's lock (`SET NX PX` and scripts), with a lease that a thread extends while the block runs: it ends by
        itself when this process dies. On one server it is safe; a failover can give it away.

        Args:
            lease_seconds: after how long without an extension it ends.
            wait_seconds: how long to wait for another holder.

        Raises:
            Conflict: another holder kept it for `wait_seconds`, or, after the block, the lease was lost while it ran.
        """
        chosen = self.id_of(id)
        lease = self._backend.lease(self._space.sub_key("lock", chosen), lease_seconds, wait_seconds)
        if not lease.acquire():
            raise _lock.taken(self._space, chosen, wait_seconds)
        with _lock.kept(lease, lease_seconds):
            try:
                yield
            finally:
                held = lease.release()
        if not held:
            raise _lock.lost(self._space, chosen)

    # ---- time to live

    def expire(self, id: Id | M, *, seconds: float) -> bool:
        """Delete the object after `seconds`; return whether it is there. One round trip: `PEXPIRE`.

        A fraction is rounded down to the millisecond. Writing to the object changes nothing about it; `put` ends it.
        """
        return self._backend.run(_objects.expire(self._space, self.id_of(id), seconds=seconds))

    def ttl(self, id: Id | M) -> float | None:
        """Return the seconds that the object has left, None where it stays for good. One round trip: `PTTL`.

        Raises:
            NotFound: there is no such object.
        """
        return self._backend.run(_objects.ttl(self._space, self.id_of(id)))

    def persist(self, id: Id | M) -> bool:
        """Keep the object for good; return whether it had a time to live. One round trip: `PERSIST`."""
        return self._backend.run(_objects.persist(self._space, self.id_of(id)))

    # ---- many objects

    def create_many(self, values: Mapping[K, M] | Iterable[M], *, on_progress: Tell | None = None) -> list[str]:
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
        return _bulk.stored(self._space, self._each(make, self._identified(values), tally))

    def put_many(self, values: Mapping[K, M] | Iterable[M], *, on_progress: Tell | None = None) -> list[str]:
        """Create or replace whole objects and return their ids, in order. One round trip for each 1,000.

        Arguments and errors are those of `create_many`.
        """
        tally = Tally(values, on_progress)
        make = partial(_bulk.put_many, self._space, tally=tally)
        return _bulk.stored(self._space, self._each(make, self._identified(values), tally))

    def get_many(self, ids: Iterable[Id | M], *, on_progress: Tell | None = None) -> list[M | None]:
        """Return snapshots in order, None for what is absent. One round trip for each 1,000."""
        tally = Tally(ids, on_progress)
        parts = self._each(partial(_bulk.get_many, self._space), self._pages(ids), tally)
        return cast(list[M | None], [value for part in parts for value in part])

    @overload
    def read_many(self, ids: Iterable[Id | M], field: A, /, *, on_progress: Tell | None = ...) -> list[A | None]: ...
    @overload
    def read_many(
        self, ids: Iterable[Id | M], field: A, field2: B, /, *, on_progress: Tell | None = ...
    ) -> list[tuple[A, B] | None]: ...
    @overload
    def read_many(
        self, ids: Iterable[Id | M], field: A, field2: B, field3: C, /, *, on_progress: Tell | None = ...
    ) -> list[tuple[A, B, C] | None]: ...
    @overload
    def read_many(
        self,
        ids: Iterable[Id | M],
        field: Any,
        field2: Any,
        field3: Any,
        field4: Any,
        /,
        *fields: Any,
        on_progress: Tell | None = ...,
    ) -> list[tuple[Any, ...] | None]: ...
    def read_many(self, ids: Any, /, *fields: Any, on_progress: Tell | None = None) -> Any:
        """Return fields of many objects in order, as `read` does, None for what is absent."""
        tally = Tally(ids, on_progress)
        parts = self._each(_arguments.reading_many(self._space, fields), self._pages(ids), tally)
        return [value for part in parts for value in part]

    def delete_many(self, ids: Iterable[Id | M], *, on_progress: Tell | None = None) -> int:
        """Delete objects; return how many were there. One round trip for each 1,000.

        Raises:
            DistObjectsError: its `ids` were not deleted, or, if it is OutcomeUnknown, perhaps not; all before are.
        """
        tally = Tally(ids, on_progress)
        return sum(self._each(partial(_bulk.delete_many, self._space, tally=tally), self._pages(ids), tally))

    # ---- all objects

    def ids(self) -> Iterator[str]:
        """Yield the id of every object, in no order. One round trip for each page: `SCAN`, never `KEYS`.

        What is there all the time is yielded, as SCAN promises, and while the server resizes its table perhaps twice.
        """
        for page in self._pages():
            yield from page

    def __iter__(self) -> Iterator[str]:
        return self.ids()

    def count(self) -> int:
        """Count the objects by going through their keys, page by page. As many round trips as `ids`."""
        return sum(map(len, self._pages()))

    def stream(
        self, ids: Iterable[Id | M] | None = None, *, on_progress: Tell | None = None
    ) -> Iterator[tuple[str, M]]:
        """Yield id and snapshot of every object, or of these, in constant memory; what is absent is left out.

        While the first 1,000 are used, the next are on their way; whoever ends early has asked for no more than them.
        """
        tally = Tally(ids, on_progress)
        with closing(self._each(partial(_bulk.snapshots, self._space), self._pages(ids), tally)) as parts:
            for part in parts:
                yield from cast(list[tuple[str, M]], part)

    def audit(self, ids: Iterable[Id | M] | None = None, *, on_progress: Tell | None = None) -> Iterator[Fault]:
        """Yield every object, or those of these, whose whole model refuses what is stored, and why.

        Reads trust what writes have validated; data from elsewhere, or from before a model changed, shows here.
        """
        tally = Tally(ids, on_progress)
        with closing(self._each(partial(_bulk.audit, self._space), self._pages(ids), tally)) as parts:
            for part in parts:
                yield from part

    def watch(
        self, id: Id | M | None = None, *, fields: Iterable[Any] = (), initial: bool = False, poll_seconds: float = 0.5
    ) -> Generator[Change[M], None, None]:
        """Yield the changes of one object, or of all, by whomever; until `close()`, `break`, or the backend is closed.

        Watching begins with the first `next`, over a connection of its own. What changes several times before it is
        asked for is told once, in its last state. After a lost connection it goes on with what has changed meanwhile.
        Of all objects, a digest is kept for each field, and nothing else.

        Args:
            fields: references; only their changes are told, and objects that come or go.
            initial: begin with what is there.
            poll_seconds: how often to look where the store tells nobody what changes: Cluster, fakeredis, `memory://`.

        Raises:
            StoreUnavailable: the server could not be reached at the beginning.
            CorruptData: what has changed is not what the model says.

        Examples:
            >>> from distobjects import connect
            >>> from pydantic import BaseModel
            >>> class Door(BaseModel):
            ...     open: bool = False
            >>> doors = connect("memory://").objects(Door)
            >>> for change in doors.watch("1", initial=True, poll_seconds=0.01):
            ...     print(change.fields, change.after)
            ...     if change.after:
            ...         break
            ...     door = doors.create(Door(), id="1")
            frozenset() None
            frozenset({'open'}) open=False
        """
        names = [_arguments.field_of(self._space.schema, each) for each in fields]
        ids = None if id is None else [self.id_of(id)]
        return self._changes(_watches.View(self._space, ids, names, initial=initial), poll_seconds)

    def _changes(self, view: _watches.View, poll_seconds: float) -> Generator[Change[M], None, None]:
        with closing(self._backend._differences(view.watching, poll_seconds)) as differences:
            for difference in differences:
                if (change := view.change(difference)) is not None:
                    yield change

    @contextmanager
    def mirror(self, id: Id | M, *, lease_seconds: float = 2.0, poll_seconds: float = 0.5) -> Generator[M, None, None]:
        """Give a live object that is kept in memory: reading it asks nobody, until somebody has changed it.

        Who reads looks at what the server has told, at most every 0.05 ms, and reads the object again if it has
        changed: one round trip. All else is as with `objects[id]`: assignments, `+=` and containers write through, and
        are seen at once.

        Args:
            lease_seconds: how old a value may be at most, when the network falls silent without a word.
            poll_seconds: not used here; where the store tells nobody what changes, each read asks.

        Raises:
            StoreUnavailable: the server cannot be reached, at the beginning and at each read.

        Examples:
            >>> from distobjects import connect
            >>> from pydantic import BaseModel
            >>> class Limits(BaseModel):
            ...     most: int = 5
            >>> limits = connect("memory://").objects(Limits)
            >>> live = limits.create(Limits(), id="mirrored")
            >>> with limits.mirror("mirrored") as local:
            ...     live.most = 6
            ...     local.most
            6
        """
        with self.mirror_many([id], lease_seconds=lease_seconds, poll_seconds=poll_seconds) as local:
            [one] = local.values()
            yield one

    @contextmanager
    def mirror_many(
        self, ids: Iterable[Id | M], *, lease_seconds: float = 2.0, poll_seconds: float = 0.5
    ) -> Generator[dict[str, M], None, None]:
        """Give live objects by id that are kept in memory, over one connection; see `mirror`."""
        chosen = list(dict.fromkeys(map(self.id_of, ids)))
        with self._backend._mirrored(self._space, chosen, lease_seconds, poll_seconds) as backend:
            local = live_class(Binding(backend, self._space))
            yield {id: cast(M, make_live(local, id)) for id in chosen}

    def _each(
        self, make: Callable[[list[X]], Flow[V]], chunked: Iterable[list[X]], tally: Tally
    ) -> Generator[V, None, None]:
        return self._backend._each(_bulk.flows(make, chunked, tally))

    def _pages(self, ids: Iterable[Id | M] | None = None) -> Iterator[list[str]]:
        if ids is not None:
            for chunk in _bulk.chunks(ids):
                yield _arguments.ids_of(self._space, self._backend, chunk)
            return
        cursor = -1
        while cursor:
            cursor, page = self._backend.run(_bulk.scan(self._space, max(cursor, 0)))
            yield page

    def _identified(self, values: Mapping[K, M] | Iterable[M]) -> Iterator[list[tuple[str, BaseModel]]]:
        keyed = isinstance(values, Mapping)
        for chunk in _bulk.chunks(_arguments.items_of(values)):
            yield _arguments.identified_many(self._space, chunk, keyed=keyed)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}[{self._space.schema.name}] {self._space.stem!r}>"
