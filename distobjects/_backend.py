"""`RedisBackend` and `connect`: a store of objects, for threads."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import closing, contextmanager
from typing import Any, Self, TypeVar, cast

from pydantic import BaseModel

from . import _stores, _watches
from ._binding import Backend
from ._collection import Objects
from ._compiler import compile_schema
from ._flow import Flow
from ._near import Near
from ._near_fields import Nearby
from ._schema import Schema
from ._space import Space, Spaces
from ._sync import Runner
from ._transaction import Transaction
from ._transactions import Parts
from ._turns import CONFLICT_SECONDS, Patience
from ._watching import Difference, Watching
from ._wire import is_sharded
from .errors import Conflict

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

# What pickled live objects find their way back by; it keeps no backend alive.
_opened: weakref.WeakValueDictionary[tuple[str, str], RedisBackend] = weakref.WeakValueDictionary()


class RedisBackend:
    """A Redis or Valkey server as a store of typed objects, through a client of the user's.

    The client stays the user's: it is not closed with the backend, and its settings (`decode_responses`, protocol,
    pool, time-outs, TLS, Sentinel) are used as they are, but for its command retries, which would apply writes twice.

    Args:
        client: a `redis.Redis`, `redis.RedisCluster`, `valkey.Valkey` or fakeredis client.
        prefix: begins every key; one `{tag}` in it keeps the whole backend in one Cluster slot.
        near: keeps what attribute reads have read in memory, within these bounds; without it, each is a round trip.

    Attributes:
        client: the redis-py client, for all else that the server can do.
        url: what `connect` opened, without credentials; None for a client that was handed over.

    Examples:
        >>> import redis
        >>> from distobjects import RedisBackend
        >>> backend = RedisBackend(client=redis.Redis(host="localhost", port=6379, db=5))
    """

    def __init__(self, client: Any, prefix: str = "", *, near: Near | None = None) -> None:
        self.client = client
        self.url: str | None = None
        self._runner = Runner(client, near)
        self._spaces = Spaces(prefix, sharded=is_sharded(client))
        self._objects: dict[tuple[int, bool], Any] = {}
        self._store: _stores.Store | None = None

    @classmethod
    def _of(cls, store: _stores.Store, prefix: str, near: Near | None) -> Self:
        try:
            backend = cls(store.open(), prefix, near=near)
        except BaseException:  # a prefix or a URL that is refused must not leave an embedded server running
            store.close()
            raise
        backend.url, backend._store = store.url, store
        return backend

    @property
    def prefix(self) -> str:
        """What every key begins with."""
        return self._spaces.prefix

    def objects(self, model: type[M], *, name: str | None = None, near: bool = True) -> Objects[M]:
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
            Objects[M], self._objects.get(kind) or self._objects.setdefault(kind, Objects(self, space, near=near))
        )

    def space(self, schema: Schema, name: str | None) -> Space:
        """Return where the objects of a compiled model live."""
        return self._spaces.open(schema, name)

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end: what every operation goes through."""
        return self._runner.run(flow)

    def _each(self, flows: Iterable[Flow[T]]) -> Generator[T, None, None]:
        """Run flows in turn and yield their values; what the next one reads first is asked for ahead."""
        return self._runner.each(flows)

    @property
    def _short(self) -> Runner | None:
        """What sends commands that have been packed before, where the client's connections are driven by hand."""
        return self._runner if self._runner.short else None

    def _nearby(self, space: Space) -> Nearby | None:
        """Return the part of the near cache that is for one space; None where there is none."""
        return Nearby(self._runner.near, space) if self._runner.near is not None else None

    def _differences(self, watching: Watching, poll_seconds: float) -> Generator[Difference, None, None]:
        """Yield what changes, until the backend is closed."""
        return self._runner.differences(watching, poll_seconds)

    def _raw_differences(
        self, prefix: str, *, single: bool, begun: Callable[[], None]
    ) -> Generator[Difference, None, None]:
        """Yield what changes of hashes of any kind, for who has no model of them."""
        return self._runner.differences(_watches.raw_watching(prefix, single=single), 0.5, begun)

    @contextmanager
    def _mirrored(
        self, space: Space, ids: Collection[str], lease_seconds: float, poll_seconds: float
    ) -> Generator[Backend, None, None]:
        """Give a backend that answers reads of these objects from memory."""
        from . import _mirrors

        mirror = _mirrors.Mirror(self, space, ids, lambda: self._runner.line(None, poll_seconds), lease_seconds)
        with closing(mirror):
            mirror.look()
            yield mirror

    @contextmanager
    def transaction(self) -> Generator[Transaction, None, None]:
        """Read and change several objects, and commit all of it in one step when the block ends, or nothing.

        A round trip for each object that is read, and one script. Nothing is written when the block raises.

        Raises:
            Conflict: an object that was read or edited has been changed meanwhile; `transact` retries.
            NotFound, AlreadyExists: an object has been deleted, or created, meanwhile.
            ValueError: on a Cluster, two objects are in different slots; nothing was sent.

        Examples:
            >>> from distobjects import connect
            >>> from pydantic import BaseModel, Field
            >>> class Account(BaseModel):
            ...     balance: int = Field(default=10, ge=0)
            >>> db = connect("memory://")
            >>> accounts = db.objects(Account)
            >>> a, b = accounts.create(Account()), accounts.create(Account())
            >>> with db.transaction() as tx:
            ...     payer, payee = tx.edit(accounts, a), tx.edit(accounts, b)
            ...     payer.balance -= 3
            ...     payee.balance += 3
            >>> a.balance, b.balance
            (7, 13)
        """
        parts = Parts(self._runner.refuse_slots)
        yield Transaction(self, parts)
        self.run(parts.commit())

    def transact(self, change: Callable[[Transaction], T]) -> T:
        """Run `change` in a transaction, again after each conflict for 5 seconds, and return what it returns."""
        patience, started = Patience(), time.monotonic()
        while True:
            try:
                with self.transaction() as tx:
                    result = change(tx)
            except Conflict:
                time.sleep(patience.pause_seconds())
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
                "connect again; use connect(url), or pickle get(id) or the id"
            )
        return restore, (space.schema.model, space.name, id, self.url, self.prefix)

    def close(self) -> None:
        """Close the connections, where `connect` opened them, and let go of the embedded server. Once is enough."""
        if self._runner.closed:
            return
        self._runner.close(own=self._store is not None)
        if self._store is not None:
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RedisBackend {self.url or self._runner.where}>"


def connect(
    url: str | None = None,
    *,
    prefix: str = "",
    connect_seconds: float = 1.0,
    operation_seconds: float = 5.0,
    near: Near | None = None,
) -> RedisBackend:
    """Open a store. No I/O but for starting an embedded server.

    Args:
        url: `redis://`, `rediss://`, `unix://`, `valkey://` or `valkeys://` as redis-py reads them;
            `embedded:///directory[?binary=path]`, a server of its own, shared by this user's processes and persistent;
            `memory://[name]`, this process's memory. Without it: `$DISTOBJECTS_URL`; else an embedded server in the
            platform's data directory, if a binary is found; else memory, with a warning.
        prefix: begins every key; one `{tag}` in it keeps the whole backend in one Cluster slot.
        connect_seconds: how long a connection may take.
        operation_seconds: how long a reply, or a free connection, may take.
        near: keeps what attribute reads have read in memory, within these bounds; without it, each is a round trip.

    Raises:
        StoreUnavailable: the embedded server cannot be started.
        Unsupported: `near` with a store that tells nobody what changes, such as memory.
    """
    timeouts = _stores.Timeouts(connect_seconds, operation_seconds)
    backend = RedisBackend._of(_stores.resolve(url, timeouts, asynchronous=False), prefix, near)
    assert backend.url is not None
    _opened[backend.url, prefix] = backend
    return backend


def restore(model: type[BaseModel], name: str, id: str, url: str, prefix: str) -> Any:
    """Return the live object that was pickled, on the open backend of its URL or else on a new one."""
    backend = _opened.get((url, prefix))
    if backend is None or backend._runner.closed:
        backend = connect(url, prefix=prefix)
    return backend.objects(model, name=name)[id]
