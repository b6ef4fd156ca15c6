"""One library's ways to do what redis-py does, run by the Python of a virtual environment that has both.

    python -m benchmarks._peer walrus 6379 15

It prints the ratios as JSON. Nothing here may import, at its head, what such an environment lacks.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import types
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version
from typing import Any

from . import _rounds
from ._case import Call, Case

Read = Callable[[], Awaitable[Any]]


class Fields:
    """Ten fields, four of them text; what keeps objects keeps these."""

    name: str = "Harry"
    city: str = "Hogsmeade"
    mail: str = "harry@example.org"
    note: str = "seeker"
    age: int = 12
    visits: int = 345
    level: int = 6
    rank: int = 7
    score: float = 8.5
    share: float = 0.25


VALUES: dict[str, Any] = {name: getattr(Fields, name) for name in Fields.__annotations__}
SEVERAL = [f"many{number}" for number in range(1_000)]


def _model(base: type, body: dict[str, Any] | None = None, **options: Any) -> Any:
    """Make a model of ten fields in a library's way.

    Args:
        body: What else stands in its class; annotations are fields without a default.
        options: Those of the class.
    """
    more = dict(body or {})
    annotations = more.pop("__annotations__", {}) | Fields.__annotations__
    names = {"__module__": __name__, "__annotations__": annotations, **VALUES, **more}
    return types.new_class("Student", (base,), options, lambda namespace: namespace.update(names))


def _new() -> Iterator[str]:
    """Name objects that are not there yet."""
    return map(str, itertools.count(10))


# ---- what is measured against


def redis_py(port: int) -> dict[str, tuple[str, Call]]:
    """Return redis-py's calls, of bytes and without validation."""
    import redis

    client, ids = redis.Redis(port=port), _new()

    def create_many() -> None:
        with client.pipeline(transaction=False) as pipeline:
            for id in SEVERAL:
                pipeline.hset(f"base:{id}", mapping=VALUES)
            pipeline.execute()

    def get_many() -> list[Any]:
        with client.pipeline(transaction=False) as pipeline:
            for id in SEVERAL:
                pipeline.hgetall(f"base:{id}")
            return pipeline.execute()

    client.hset("base:1", mapping=VALUES)
    create_many()
    return {
        "read": ("hget", lambda: client.hget("base:1", "age")),
        "write": ("hset", lambda: client.hset("base:1", "age", 12)),
        "get": ("hgetall", lambda: client.hgetall("base:1")),
        "create": ("hset", lambda: client.hset(f"base:{next(ids)}", mapping=VALUES)),
        "put 1,000": ("pipeline of hset", create_many),
        "get 1,000": ("pipeline of hgetall", get_many),
    }


# ---- synchronous libraries: an operation that one has no way to do is not there


def distobjects(port: int) -> dict[str, Call]:
    from pydantic import BaseModel

    from distobjects import connect

    model, ids = _model(BaseModel), _new()
    objects = connect(f"redis://127.0.0.1:{port}").objects(model)
    objects.put(model(), id="1")
    live: Any = objects["1"]
    several = {id: model() for id in SEVERAL}
    return {
        "read": lambda: live.age,
        "write": lambda: setattr(live, "age", 12),
        "get": lambda: objects.get("1"),
        "create": lambda: objects.create(model(), id=next(ids)),
        "put 1,000": lambda: objects.put_many(several),
        "get 1,000": lambda: objects.get_many(SEVERAL),
    }


def redis_om(port: int) -> dict[str, Call]:
    from redis_om import HashModel, get_redis_connection

    class Meta:
        database = get_redis_connection(host="127.0.0.1", port=port)

    model = _model(HashModel, {"Meta": Meta}, index=True)
    one, ids = model(pk="1").save(), _new()
    several = [model(pk=id) for id in SEVERAL]
    return {
        "read": lambda: model.get("1").age,
        "write": lambda: one.update(age=12),
        "get": lambda: model.get("1"),
        "create": lambda: model(pk=next(ids)).save(),
        "put 1,000": lambda: model.add(several),
        "get 1,000": lambda: [model.get(id) for id in SEVERAL],
    }


def pydantic_redis(port: int) -> dict[str, Call]:
    from pydantic_redis import Model, RedisConfig, Store

    model = _model(Model, {"_primary_key_field": "id", "__annotations__": {"id": str}})
    store = Store(name="peer", redis_config=RedisConfig(host="127.0.0.1", port=port))
    store.register_model(model)
    ids, several = _new(), [model(id=id) for id in SEVERAL]
    model.insert([model(id="1"), *several])
    return {
        "read": lambda: model.select(ids=["1"], columns=["age"]),
        "write": lambda: model.update(_id="1", data={"age": 12}),
        "get": lambda: model.select(ids=["1"]),
        "create": lambda: model.insert(model(id=next(ids))),
        "put 1,000": lambda: model.insert(several),
        "get 1,000": lambda: model.select(ids=SEVERAL),
    }


def walrus(port: int) -> dict[str, Call]:
    import walrus as library

    kinds = {str: library.TextField, int: library.IntegerField, float: library.FloatField}
    fields = {name: kinds[type(value)]() for name, value in VALUES.items()}
    key = library.TextField(primary_key=True)
    model: Any = type("Student", (library.Model,), {"__database__": library.Database(port=port), "id": key, **fields})
    one, ids = model.create(id="1", **VALUES), _new()
    return {
        "read": lambda: model.load("1").age,
        "write": one.save,  # of all fields: there is no other way to write one
        "get": lambda: model.load("1"),
        "create": lambda: model.create(id=next(ids), **VALUES),
    }


def walrus_hash(port: int) -> dict[str, Call]:
    import walrus as library

    database, ids = library.Database(port=port), _new()
    one = database.Hash("student:1")
    one.update(VALUES)
    return {
        "read": lambda: one["age"],
        "write": lambda: one.__setitem__("age", 12),
        "get": one.as_dict,
        "create": lambda: database.Hash(f"student:{next(ids)}").update(VALUES),
    }


def pottery(port: int) -> dict[str, Call]:
    from pottery import RedisDict
    from redis import Redis

    client, ids = Redis(port=port), _new()
    one = RedisDict(VALUES, redis=client, key="student:1")
    return {
        "read": lambda: one["age"],
        "write": lambda: one.__setitem__("age", 12),
        "get": one.to_dict,
        "create": lambda: RedisDict(VALUES, redis=client, key=f"student:{next(ids)}"),
    }


def redis_dict(port: int) -> dict[str, Call]:
    from redis_dict import RedisDict

    one, every, ids = RedisDict("student:1", port=port), RedisDict("students", port=port), _new()
    one.update(VALUES)
    every["1"] = VALUES  # a whole one is read and written as one JSON value
    return {
        "read": lambda: one["age"],
        "write": lambda: one.__setitem__("age", 12),
        "get": lambda: every["1"],
        "create": lambda: every.__setitem__(next(ids), VALUES),
    }


def valkey_glide_sync(port: int) -> dict[str, Call]:
    from glide_sync import GlideClient, GlideClientConfiguration, NodeAddress

    client, ids = GlideClient.create(GlideClientConfiguration([NodeAddress("127.0.0.1", port)])), _new()
    texts = {name: str(value) for name, value in VALUES.items()}
    client.hset("student:1", texts)
    return {
        "read": lambda: client.hget("student:1", "age"),
        "write": lambda: client.hset("student:1", {"age": "12"}),
        "get": lambda: client.hgetall("student:1"),
        "create": lambda: client.hset(f"student:{next(ids)}", texts),
    }


# ---- asyncio: each reads one field of one object, with more and more tasks


async def redis_asyncio(port: int) -> Read:
    """What is measured against, with as many connections as there are tasks."""
    from redis.asyncio import Redis

    client = Redis(port=port)
    await client.hset("base:1", "age", 12)  # type: ignore[misc]
    return lambda: client.hget("base:1", "age")  # type: ignore[return-value]


async def distobjects_asyncio(port: int) -> Read:
    from pydantic import BaseModel

    from distobjects import connect_async

    model = _model(BaseModel)
    objects = connect_async(f"redis://127.0.0.1:{port}").objects(model)
    await objects.put(model(), id="1")
    live: Any = objects["1"]

    async def read() -> Any:
        return await live.age

    return read


async def coredis(port: int) -> Read:
    from coredis import Redis

    client = Redis(host="127.0.0.1", port=port)
    await client.__aenter__()
    await client.hset("student:1", {"age": 12})
    return lambda: client.hget("student:1", "age")


async def valkey_glide(port: int) -> Read:
    from glide import GlideClient, GlideClientConfiguration, NodeAddress

    client = await GlideClient.create(GlideClientConfiguration([NodeAddress("127.0.0.1", port)]))
    await client.hset("student:1", {"age": "12"})
    return lambda: client.hget("student:1", "age")


async def rapyer(port: int) -> Read:
    import redis.asyncio
    from rapyer import AtomicRedisModel, init_rapyer

    model = _model(AtomicRedisModel)
    await init_rapyer(redis.asyncio.Redis(port=port, decode_responses=True))
    one = model()
    try:
        await one.asave()
    except redis.ResponseError as error:
        if "unknown command" in str(error):
            raise SystemExit("needs the module RedisJSON, which this server does not have") from None
        raise

    async def read() -> Any:
        return (await model.aget(one.key)).age

    return read


SYNC: dict[str, Callable[[int], dict[str, Call]]] = {
    "distobjects": distobjects,
    "redis-om": redis_om,
    "pydantic-redis": pydantic_redis,
    "walrus": walrus,
    "walrus.Hash": walrus_hash,
    "pottery": pottery,
    "redis-dict": redis_dict,
    "valkey-glide-sync": valkey_glide_sync,
}
ASYNC: dict[str, Callable[[int], Awaitable[Read]]] = {
    "distobjects.asyncio": distobjects_asyncio,
    "coredis": coredis,
    "valkey-glide": valkey_glide,
    "rapyer": rapyer,
}


def _cases(name: str, port: int) -> Iterator[Case]:
    theirs = redis_py(port)
    for operation, call in SYNC[name](port).items():
        yield Case(operation, theirs[operation], {"": call}, calls=2 if "1,000" in operation else 100)


def _cases_of_tasks(name: str, port: int) -> Iterator[Case]:
    loop = asyncio.new_event_loop()
    theirs, ours = (loop.run_until_complete(make(port)) for make in (redis_asyncio, ASYNC[name]))

    def call(read: Read, tasks: int) -> Call:
        async def several() -> None:
            for _ in range(200 // tasks):
                await read()

        async def every() -> None:
            await asyncio.gather(*(several() for _ in range(tasks)))

        return lambda: loop.run_until_complete(every())

    for tasks in (1, 10, 100):
        yield Case(
            f"{tasks} task{'s' if tasks > 1 else ''}", ("hget", call(theirs, tasks)), {"": call(ours, tasks)}, calls=1
        )


def main(name: str, port: str, rounds: str) -> None:
    """Measure one library; what it prints before the JSON is its own."""
    cases = (_cases if name in SYNC else _cases_of_tasks)(name, int(port))
    rows = _rounds.measure("peers", "", cases, rounds=int(rounds), seconds=5)
    ratios = {row.name: row.value for row in rows}
    versions = ", ".join(f"{package} {version(package)}" for package in (name.partition(".")[0], "redis"))
    print(json.dumps({"versions": versions, "ratios": ratios}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
