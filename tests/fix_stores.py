"""Stores for the tests: one test body runs on both faces, and over every kind of client that a user may hand over.

A `Store` runs what a face returns, so a body is written once, without `await`: a value stays as it is, an awaitable is
awaited in the store's own event loop, a stream is collected into a list.
"""

from __future__ import annotations

import asyncio
import types
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.sentinel
import valkey
import valkey.asyncio
from pydantic import BaseModel

from distobjects import AsyncRedisBackend, RedisBackend, connect, connect_async
from tests.fix_servers import KINDS, Server, Watched

FACES = ("sync", "async")
# Long: on a busy machine, connecting takes more than the second that it may by default.
CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Store:
    """A backend of either face, and a plain client that sees the same bytes.

    Attributes:
        raw: a synchronous client of the same store, for looking behind the scenes.
        server: the real server behind it; None where there is none.
    """

    backend: Any
    raw: Any
    server: Server | None
    loop: asyncio.Runner | None

    @property
    def asynchronous(self) -> bool:
        return self.loop is not None

    @property
    def trips(self) -> int:
        """How many round trips the backend has made."""
        trips: int = self.backend._runner.trips
        return trips

    def run(self, made: Any) -> Any:
        """Return what a face's method meant, in the way of its colour."""
        if isinstance(made, types.GeneratorType):
            return list(made)
        if self.loop is None:
            return made
        if isinstance(made, types.AsyncGeneratorType):
            return self.loop.run(_collected(made))
        return self.loop.run(made) if isinstance(made, types.CoroutineType) else made

    def objects(self, model: type[BaseModel], **options: Any) -> Any:
        """Return the objects of a model, each of whose methods runs to its end."""
        return Run(self, self.backend.objects(model, **options))

    @contextmanager
    def entered(self, manager: Any) -> Iterator[Any]:
        """Enter a context manager of either colour for the length of the block."""
        if self.loop is None:
            with manager as value:
                yield value
            return
        value = self.loop.run(manager.__aenter__())
        try:
            yield value
        except BaseException as error:
            if not self.loop.run(manager.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self.loop.run(manager.__aexit__(None, None, None))

    @contextmanager
    def counted(self) -> Iterator[list[int]]:
        """Put the number of round trips that the block takes into the list that it gets."""
        before, taken = self.trips, list[int]()
        yield taken
        taken.append(self.trips - before)


async def _collected(items: Any) -> list[Any]:
    return [item async for item in items]


class Run:
    """Stands before `Objects`, `AsyncObjects` or a handle: calls a method and runs what it returns."""

    def __init__(self, store: Store, face: Any) -> None:
        self.store = store
        self.face = face

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._call, getattr(self.face, name))

    def _call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        made = self.store.run(method(*args, **options))
        return Run(self.store, made) if type(made).__name__.endswith("FieldHandle") else made

    def __getitem__(self, id: Any) -> Any:
        return self.face[id]


# ---- clients, each made where its event loop runs

Client = Any


def _tcp(server: Server, face: str, **options: Any) -> Client:
    options = {"host": "127.0.0.1", "port": server.port, "socket_timeout": 5, **options}
    return redis.Redis(**options) if face == "sync" else redis.asyncio.Redis(**options)


def _unix(server: Server, face: str) -> Client:
    options = {"unix_socket_path": server.socket, "socket_timeout": 5}
    return redis.Redis(**options) if face == "sync" else redis.asyncio.Redis(**options)  # type: ignore[arg-type]  # one dict for many types


def _blocking(server: Server, face: str) -> Client:
    if face == "sync":
        return redis.Redis.from_pool(redis.BlockingConnectionPool.from_url(server.url, max_connections=2))
    return redis.asyncio.Redis.from_pool(redis.asyncio.BlockingConnectionPool.from_url(server.url, max_connections=2))


def _valkey_py(server: Server, face: str) -> Client:
    made = valkey.Valkey if face == "sync" else valkey.asyncio.Valkey
    return made(host="127.0.0.1", port=server.port, socket_timeout=5)


def _cluster(server: Server, face: str) -> Client:
    if face == "sync":
        return redis.RedisCluster(host="127.0.0.1", port=server.port)
    return redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=server.port)


_CLIENTS: dict[str, Callable[[Server, str], Client]] = {
    "client": _tcp,
    "unix": _unix,
    "resp2": partial(_tcp, protocol=2),
    "resp3": partial(_tcp, protocol=3),
    "text": partial(_tcp, protocol=2, decode_responses=True),
    "text3": partial(_tcp, protocol=3, decode_responses=True),
    "blocking": _blocking,
    "valkey-py": _valkey_py,
}
# Every way to a store that a user may choose, beside `connect(url)`.
TOPOLOGIES = (*_CLIENTS, "sentinel", "cluster", "fakeredis", "memory")


@contextmanager
def connected(server: Server, face: str) -> Iterator[Store]:
    """Open the store of a server by its URL."""
    server.flush()
    with _looped(face) as loop, server.client() as raw:
        backend: Any = (connect if loop is None else connect_async)(server.url, connect_seconds=CONNECT_SECONDS)
        try:
            yield Store(backend, raw, server, loop)
        finally:
            _close(loop, backend.close)


@contextmanager
def connected_by(client: str, server: Server, face: str) -> Iterator[Store]:
    """Open the store of a server through a client of this kind, which does not know what server it is."""
    server.flush()
    with _looped(face) as loop, server.client() as raw:
        made, close = _made(loop, lambda: _client(client, face, server, None))
        backend = _backend(face, made)
        try:
            yield Store(backend, raw, server, loop)
        finally:
            for each in (backend.close, *close):
                _close(loop, each)


@contextmanager
def handed_over(topology: str, face: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """Open a store through a client of this kind."""
    opened = _memory if topology in ("memory", "fakeredis") else _served
    with _looped(face) as loop, opened(topology, face, loop, request) as store:
        yield store


@contextmanager
def _served(topology: str, face: str, loop: asyncio.Runner | None, request: pytest.FixtureRequest) -> Iterator[Store]:
    watched: Watched | None = request.getfixturevalue("sentinel") if topology == "sentinel" else None
    home = {"cluster": "cluster_server"}.get(topology, "valkey_server")
    server: Server = watched.master if watched else request.getfixturevalue(home)
    server.flush()
    client, close = _made(loop, lambda: _client(topology, face, server, watched))
    backend = _backend(face, client)
    try:
        with server.client() as raw:
            yield Store(backend, raw, server, loop)
    finally:
        for each in (backend.close, *close):
            _close(loop, each)


def _client(
    topology: str, face: str, server: Server, watched: Watched | None
) -> tuple[Client, list[Callable[[], Any]]]:
    if watched:
        kind: Any = redis.sentinel.Sentinel if face == "sync" else redis.asyncio.sentinel.Sentinel
        sentinel = kind([("127.0.0.1", watched.sentinel.port)], socket_timeout=5)
        client = sentinel.master_for(watched.name)
        own = sentinel.sentinels
    else:
        client = _cluster(server, face) if topology == "cluster" else _CLIENTS[topology](server, face)
        own = []
    return client, [each.close if face == "sync" else each.aclose for each in (client, *own)]


@contextmanager
def _memory(topology: str, face: str, loop: asyncio.Runner | None, request: pytest.FixtureRequest) -> Iterator[Store]:
    if topology == "memory":
        url = f"memory://{uuid.uuid4().hex}"
        backend: Any = connect(url) if loop is None else connect_async(url)
        try:
            with connect(url) as beside:
                yield Store(backend, beside.client, None, loop)
        finally:
            _close(loop, backend.close)
        return
    server = fakeredis.FakeServer()
    kind: Any = fakeredis.FakeRedis if loop is None else fakeredis.FakeAsyncRedis
    client = kind(server=server)
    backend = _backend(face, client)
    try:
        with fakeredis.FakeRedis(server=server) as raw:
            yield Store(backend, raw, None, loop)
    finally:
        _close(loop, backend.close)
        _close(loop, client.close if loop is None else client.aclose)


def _backend(face: str, client: Client) -> Any:
    return RedisBackend(client=client) if face == "sync" else AsyncRedisBackend(client=client)


@contextmanager
def _looped(face: str) -> Iterator[asyncio.Runner | None]:
    if face == "sync":
        yield None
        return
    with asyncio.Runner() as loop:
        yield loop


def _made(loop: asyncio.Runner | None, make: Callable[[], Any]) -> Any:
    async def making() -> Any:
        return make()

    return make() if loop is None else loop.run(making())


def _close(loop: asyncio.Runner | None, close: Callable[[], Any]) -> None:
    made = _made(loop, close)
    if loop is not None:
        loop.run(made)


# ---- fixtures


@pytest.fixture(params=[f"{kind}-{face}" for kind in KINDS for face in FACES])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store on each kind of server, by either face."""
    kind, face = request.param.split("-")
    with connected(request.getfixturevalue(f"{kind}_server"), face) as opened:
        yield opened


@pytest.fixture(params=[f"{topology}-{face}" for topology in TOPOLOGIES for face in FACES])
def anywhere(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store through each kind of client, by either face."""
    topology, face = request.param.rsplit("-", 1)
    with handed_over(topology, face, request) as opened:
        yield opened


@pytest.fixture(params=KINDS)
def live(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store on each kind of server, by the sync face: live objects that pass for their model."""
    with connected(request.getfixturevalue(f"{request.param}_server"), "sync") as opened:
        yield opened


@pytest.fixture(params=KINDS)
def awaited(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store on each kind of server, by the asyncio face."""
    with connected(request.getfixturevalue(f"{request.param}_server"), "async") as opened:
        yield opened
